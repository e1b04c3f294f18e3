//! The bytes that a step has to move, counted from the net's shape.

use unisono::bench_support::Workload;

/// What a step reads and writes beside its activations, for Adam in f32.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Traffic {
    /// Bytes of parameters, both moments and the transposed weights.
    pub held: f64,
    /// Bytes of these that a step reads and writes.
    state: f64,
    /// Bytes of a row's features and label.
    row: f64,
    /// Bytes of the data set.
    data: f64,
}

impl Traffic {
    /// Counts for a net of `params` parameters. The weights behind the first layer have a transpose,
    /// by which the gradients go back.
    pub fn new(workload: &Workload, params: usize) -> Self {
        let transposed: usize = workload.layers[1..].windows(2).map(|pair| pair[0] * pair[1]).sum();
        let (params, transposed) = (params as f64, transposed as f64);
        let row = 4.0 * (workload.layers[0] + 1) as f64;
        Self {
            held: 12.0 * params + 4.0 * transposed,
            // Forward reads the parameters, the update reads and writes them and both moments. Backward
            // reads the transpose, the update writes it, which reads it first.
            state: 28.0 * params + 12.0 * transposed,
            row,
            data: row * workload.rows as f64,
        }
    }

    /// Bytes that a step touches, wherever they lie.
    pub fn touched(&self, batch: usize) -> f64 {
        self.state + self.row * batch as f64
    }

    /// Whether a cache of so many bytes holds parameters and state from step to step.
    pub fn held_in(&self, cache: usize) -> bool {
        self.held <= cache as f64
    }

    /// Bytes that have to come from memory or go there, since a cache of so many bytes cannot hold
    /// them: parameters and state if they alone are larger, rows if they and the data set are.
    pub fn memory_bytes(&self, batch: usize, cache: usize) -> f64 {
        let rows = if self.held + self.data > cache as f64 { self.row * batch as f64 } else { 0.0 };
        if self.held_in(cache) { rows } else { self.state + rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cache_holds_does_not_count() {
        let workload = Workload::new("net", &[10, 20, 5], 100, 200);
        let traffic = Traffic::new(&workload, 325);
        let (held, data) = (12 * 325 + 4 * 100, 200 * 44);
        assert_eq!(traffic.held, held as f64);
        assert_eq!(traffic.memory_bytes(100, held + data), 0.0);
        assert_eq!(traffic.memory_bytes(100, held), 4400.0);
        let state = (28 * 325 + 12 * 100) as f64;
        assert_eq!(traffic.memory_bytes(100, held - 1), state + 4400.0);
        assert_eq!(traffic.touched(100), state + 4400.0);
    }
}
