//! The dense layer, `y = x W^T + b`.

use std::fmt;
use std::str::FromStr;

use crate::rng::Stream;
use crate::rows::{Rows, RowsMut};
use crate::simd::Ahead;
use crate::simd::panels::WeightLayout;
use crate::simd::product::{Begin, Ends, Finish, Start, product};
use crate::{Error, Result};

/// How a dense layer's weights are drawn; biases start at zero.
///
/// # Source
/// X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
/// networks", 2010; K. He et al., "Delving deep into rectifiers", 2015.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// Uniform within ±sqrt(6 / (`fan_in` + `fan_out`)).
    #[default]
    GlorotUniform,
    /// Normal with variance 2 / (`fan_in` + `fan_out`).
    GlorotNormal,
    /// Uniform within ±sqrt(6 / `fan_in`).
    HeUniform,
    /// Normal with variance 2 / `fan_in`.
    HeNormal,
    /// All zero, for tests and output layers.
    Zeros,
}

impl Init {
    /// What draws a value of a weight of `fan_in` inputs and `fan_out` outputs.
    fn sampler(self, fan_in: usize, fan_out: usize) -> impl Fn(&mut Stream) -> f32 {
        let (fan_in, both) = (fan_in as f64, (fan_in + fan_out) as f64);
        let size = match self {
            Self::GlorotUniform => 6.0 / both,
            Self::GlorotNormal => 2.0 / both,
            Self::HeUniform => 6.0 / fan_in,
            Self::HeNormal => 2.0 / fan_in,
            Self::Zeros => 0.0,
        };
        let size = size.sqrt() as f32;
        move |random| match self {
            Self::GlorotUniform | Self::HeUniform => random.uniform_in(-size, size),
            Self::GlorotNormal | Self::HeNormal => random.normal() * size,
            Self::Zeros => 0.0,
        }
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::GlorotUniform => "glorot_uniform",
            Self::GlorotNormal => "glorot_normal",
            Self::HeUniform => "he_uniform",
            Self::HeNormal => "he_normal",
            Self::Zeros => "zeros",
        })
    }
}

impl FromStr for Init {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::GlorotUniform, Self::GlorotNormal, Self::HeUniform, Self::HeNormal, Self::Zeros]
            .into_iter()
            .find(|init| init.to_string() == name)
            .ok_or_else(|| {
                Error::config(
                    "init",
                    format!(
                        "expected glorot_uniform, glorot_normal, he_uniform, he_normal or zeros, \
                         found {name:?}"
                    ),
                )
            })
    }
}

/// A dense (fully connected) layer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Dense {
    /// Output features O.
    pub outputs: usize,
    /// How the weights are drawn.
    pub init: Init,
}

impl Dense {
    /// A layer of `outputs` features with Glorot-uniform weights and zero biases.
    pub fn new(outputs: usize) -> Self {
        Self { outputs, init: Init::default() }
    }

    /// Chooses how the weights are drawn.
    pub fn init_with(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    pub(crate) fn check(&self) -> Result<usize> {
        match self.outputs {
            0 => Err(Error::shape("output features of a dense layer", "at least 1", 0)),
            n => Ok(n),
        }
    }

    /// Draws in the order of the (out, in) matrix, so that the layout in memory changes nothing.
    pub(crate) fn init(&self, layout: WeightLayout, params: &mut [f32], random: &mut Stream) {
        params.fill(0.0);
        let draw = self.init.sampler(layout.inputs, layout.outputs);
        layout.indices().for_each(|index| params[index] = draw(random));
    }
}

/// `y = finish(b + x W^T)`, one chain of multiply-adds an output, from the outputs on that `begin` says; meanwhile `ahead`
/// is asked for. Returns a bound on the sizes in y, as [`product`] does.
pub(crate) fn forward(
    layout: WeightLayout,
    (params, begin): (&[f32], Begin),
    x: Rows,
    (mut y, finish, bound): (RowsMut, Finish, bool),
    ahead: &mut Ahead,
) -> Option<f32> {
    let (weights, bias) = params.split_at(layout.weights_len());
    let (operand, start) = (layout.forward(weights).beginning(begin), Start::Bias(bias));
    let ends = Ends { start: &start, finish: &finish, bound };
    product(&x, &operand, &mut y, ends, ahead)
}

/// From `y = b + x W^T`: `dx = finish(dy W)`, on the transposed weights. Returns a bound on the sizes in
/// dx, as [`product`] does.
pub(crate) fn backward(
    layout: WeightLayout,
    (transpose, begin): (&[f32], Begin),
    dy: Rows,
    (mut dx, finish, bound): (RowsMut, Finish, bool),
) -> Option<f32> {
    let operand = layout.backward(transpose).beginning(begin);
    let ends = Ends { start: &Start::Zero, finish: &finish, bound };
    product(&dy, &operand, &mut dx, ends, &mut Ahead::none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn each_initialisation_has_its_variance() {
        let layout = WeightLayout { inputs: 200, outputs: 100 };
        for (init, variance) in [
            (Init::GlorotUniform, 2.0 / 300.0),
            (Init::GlorotNormal, 2.0 / 300.0),
            (Init::HeUniform, 2.0 / 200.0),
            (Init::HeNormal, 2.0 / 200.0),
        ] {
            let mut params = vec![f32::NAN; layout.weights_len() + 112];
            let mut random = Stream::new(3, Purpose::Init, 0, 0);
            Dense::new(100).init_with(init).init(layout, &mut params, &mut random);
            let sum: f64 = params.iter().map(|&p| f64::from(p * p)).sum();
            assert!((sum / 20_000.0 / variance - 1.0).abs() < 0.05, "{init}: {}", sum / 20_000.0);
            assert!(params[layout.weights_len()..].iter().all(|&bias| bias == 0.0));
            assert_eq!(init.to_string().parse::<Init>().unwrap(), init);
        }
    }
}
