//! stub
use crate::Result;
use crate::activation::Activation;
use crate::data::Targets;
use crate::rows::*;
#[derive(Debug, Clone, PartialEq)]
pub enum Loss {
    Ce,
    Mse,
}
impl Default for Loss {
    fn default() -> Self {
        Self::Mse
    }
}
#[derive(Debug, Clone, Default)]
pub struct CrossEntropy;
#[derive(Debug, Clone)]
pub struct MeanSquaredError;
impl From<CrossEntropy> for Loss {
    fn from(_: CrossEntropy) -> Self {
        Loss::Ce
    }
}
impl From<MeanSquaredError> for Loss {
    fn from(_: MeanSquaredError) -> Self {
        Loss::Mse
    }
}
impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}
pub(crate) enum TargetRows<'a> {
    Classes(&'a [u32]),
    Values(Rows<'a>),
}
impl Loss {
    pub(crate) fn fuses(&self, last: Activation) -> bool {
        *self == Loss::Ce && last == Activation::Softmax
    }
    pub(crate) fn check(&self, _c: Option<usize>, _v: Option<usize>, _o: usize) -> Result<()> {
        Ok(())
    }
    pub(crate) fn is_weighted(&self) -> bool {
        false
    }
    pub(crate) fn counts_correct(&self, t: &Targets) -> bool {
        matches!(t, Targets::Classes { .. })
    }
    pub(crate) fn normalizer(&self, t: &TargetRows) -> f64 {
        match t {
            TargetRows::Classes(l) => l.len() as f64,
            TargetRows::Values(r) => r.rows as f64,
        }
    }
    pub(crate) fn rows(
        &self,
        logits: Rows,
        t: TargetRows,
        scale: f32,
        mut grad: Option<RowsMut>,
        values: &mut [f64],
    ) -> usize {
        let mut correct = 0;
        for r in 0..logits.rows {
            let z = logits.row(r);
            if let Some(g) = &mut grad {
                g.padded_row(r).fill(0.0);
            }
            match &t {
                TargetRows::Classes(l) => {
                    let m = z.iter().copied().fold(f32::MIN, f32::max);
                    let e: Vec<f32> = z.iter().map(|v| (v - m).exp()).collect();
                    let s: f32 = e.iter().sum();
                    let y = l[r] as usize;
                    values[r] = f64::from(s.ln() + m - z[y]);
                    correct += usize::from(z[y] == m);
                    if let Some(g) = &mut grad {
                        for (j, g) in g.row(r).iter_mut().enumerate() {
                            *g = (e[j] / s - f32::from(u8::from(j == y))) * scale;
                        }
                    }
                }
                TargetRows::Values(v) => {
                    let v = v.row(r);
                    let n = z.len() as f32;
                    values[r] =
                        z.iter().zip(v).map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>()
                            / f64::from(n);
                    if let Some(g) = &mut grad {
                        for (j, g) in g.row(r).iter_mut().enumerate() {
                            *g = 2.0 * (z[j] - v[j]) / n * scale;
                        }
                    }
                }
            }
        }
        correct
    }
}
