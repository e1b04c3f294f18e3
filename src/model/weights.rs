//! Weights in and out, as ndarray in PyTorch's shapes.

use ndarray::{ArrayD, ArrayViewD, Dimension, IxDyn};

use super::Sequential;
use crate::{Error, Result};

impl Sequential {
    /// Names every parameter as PyTorch's `nn.Sequential` does: `0.weight`, `0.bias`, `2.weight`, …
    pub fn weight_names(&self) -> Vec<String> {
        let names = |(index, layer): (usize, &crate::layer::Placed)| {
            layer.tensors().into_iter().map(move |tensor| format!("{index}.{}", tensor.name))
        };
        self.layers.iter().enumerate().flat_map(names).collect()
    }

    /// Copies a parameter out by its name; a dense layer's weight is (out, in).
    ///
    /// # Errors
    /// If no parameter has that name.
    ///
    /// # Examples
    /// ```
    /// use unisono::{Activation, Sequential};
    ///
    /// let model = Sequential::builder(4).dense(3, Activation::Softmax).build(7)?;
    /// assert_eq!(model.weight("0.weight")?.shape(), [3, 4]);
    /// # Ok::<(), unisono::Error>(())
    /// ```
    pub fn weight(&self, name: &str) -> Result<ArrayD<f32>> {
        let (layer, tensor, shape) = self.find(name)?;
        let mut values = Vec::with_capacity(shape.iter().product());
        self.tensor_values(layer, tensor).for_each(|value| values.push(value));
        Ok(ArrayD::from_shape_vec(IxDyn(&shape), values).expect("a tensor has its shape's length"))
    }

    /// Replaces a parameter by its name; a dense layer's weight is (out, in).
    ///
    /// # Errors
    /// If no parameter has that name, the shape differs or a value is not finite; the model is then
    /// unchanged.
    pub fn set_weight(&mut self, name: &str, values: ArrayViewD<f32>) -> Result<()> {
        let (layer, tensor, shape) = self.find(name)?;
        if values.shape() != shape {
            let found = format!("{:?}", values.shape());
            return Err(Error::shape(format!("weight {name}"), format!("{shape:?}"), found));
        }
        let wrong = values.iter().position(|value| !value.is_finite());
        if let Some((index, value)) = wrong.and_then(|nth| values.indexed_iter().nth(nth)) {
            let problem = format!(
                "weight {name}: expected finite values, found {value} at {:?}",
                index.slice()
            );
            return Err(Error::Data(problem));
        }
        let placed = &self.layers[layer];
        let params = &mut self.params[placed.params.clone()];
        placed.put(tensor, values.iter().copied(), params);
        Ok(())
    }

    /// The values of a tensor in row-major order.
    pub(crate) fn tensor_values(
        &self,
        layer: usize,
        tensor: usize,
    ) -> impl Iterator<Item = f32> + '_ {
        let placed = &self.layers[layer];
        let params = &self.params[placed.params.clone()];
        placed.positions(tensor).map(|at| params[at])
    }

    fn find(&self, name: &str) -> Result<(usize, usize, Vec<usize>)> {
        for (index, layer) in self.layers.iter().enumerate() {
            for (t, tensor) in layer.tensors().into_iter().enumerate() {
                if format!("{index}.{}", tensor.name) == name {
                    return Ok((index, t, tensor.shape));
                }
            }
        }
        let names = crate::data::listed(&self.weight_names());
        Err(Error::Data(format!("no weight is called {name:?}: the model has {names}")))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Activation, Sequential};
    use ndarray::Array;

    #[test]
    fn what_is_set_comes_back_in_its_shape() {
        let mut model = Sequential::builder(33)
            .dense(250, Activation::Relu)
            .layer_norm()
            .dense(41, Activation::Identity)
            .build(1)
            .unwrap();
        for name in model.weight_names() {
            let shape = model.weight(&name).unwrap().shape().to_vec();
            let mut next = 0.0;
            let values = Array::from_shape_simple_fn(shape, || {
                next += 1.0;
                next
            });
            model.set_weight(&name, values.view()).unwrap();
            assert_eq!(model.weight(&name).unwrap(), values, "{name}");
        }
    }

    #[test]
    fn a_wrong_name_or_shape_is_an_error_and_changes_nothing() {
        let mut model = Sequential::builder(3).dense(2, Activation::Relu).build(1).unwrap();
        let before = model.fingerprint();
        let zeros = Array::zeros(vec![3, 2]);
        let message = model.set_weight("0.weight", zeros.view()).unwrap_err().to_string();
        assert_eq!(message, "weight 0.weight: expected [2, 3], found [3, 2]");
        assert!(
            model.weight("1.weight").unwrap_err().to_string().contains("\"0.weight\", \"0.bias\"")
        );
        let nan = Array::from_elem(vec![2], f32::NAN);
        assert!(model.set_weight("0.bias", nan.view()).is_err());
        assert_eq!(model.fingerprint(), before);
    }

    #[test]
    fn of_many_names_an_error_lists_the_first() {
        let mut builder = Sequential::builder(1);
        for _ in 0..30 {
            builder = builder.dense(1, Activation::Relu);
        }
        let model = builder.build(1).unwrap();
        let message = model.weight("w").unwrap_err().to_string();
        assert!(message.ends_with("\"38.bias\" and 20 more"), "{message}");
    }
}
