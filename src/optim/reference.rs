//! PyTorch's definitions, word for word and in f64, to test against.

use super::Optimizer;
use super::clip::GradScale;

pub(super) struct Reference {
    optimizer: Optimizer,
    pub params: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    third: Vec<f64>,
}

impl Reference {
    pub fn start(optimizer: &Optimizer, params: &[f32]) -> Self {
        let zeros = vec![0.0; params.len()];
        let mut first = zeros.clone();
        if let Optimizer::Adagrad(it) = optimizer {
            first.fill(it.initial_accumulator_value);
        }
        Self {
            optimizer: *optimizer,
            params: params.iter().copied().map(f64::from).collect(),
            first,
            second: zeros.clone(),
            third: zeros,
        }
    }

    pub fn step(&mut self, step: u64, lr: f64, grad: GradScale, grads: &[f32]) {
        for (i, &g) in grads.iter().enumerate() {
            let g = f64::from(g) * f64::from(grad.scale);
            let limit = grad.clip.map_or(f64::INFINITY, f64::from);
            self.one(i, step, lr, g.clamp(-limit, limit));
        }
    }

    fn one(&mut self, i: usize, step: u64, lr: f64, mut g: f64) {
        let (p, a) = (&mut self.params[i], &mut self.first[i]);
        let (b, c) = (&mut self.second[i], &mut self.third[i]);
        match self.optimizer {
            Optimizer::Sgd(it) => {
                g += it.weight_decay * *p;
                if it.momentum != 0.0 {
                    *a = if step == 1 { g } else { it.momentum * *a + (1.0 - it.dampening) * g };
                    g = if it.nesterov { g + it.momentum * *a } else { *a };
                }
                *p -= lr * g;
            }
            Optimizer::RmsProp(it) => {
                g += it.weight_decay * *p;
                *a = it.alpha * *a + (1.0 - it.alpha) * g * g;
                let mut mean = *a;
                if it.centered {
                    *c += (g - *c) * (1.0 - it.alpha);
                    mean = (mean - *c * *c).max(0.0);
                }
                let mut d = g / (mean.sqrt() + it.eps);
                if it.momentum > 0.0 {
                    *b = it.momentum * *b + d;
                    d = *b;
                }
                *p -= lr * d;
            }
            Optimizer::Adagrad(it) => {
                g += it.weight_decay * *p;
                *a += g * g;
                *p -= lr / (1.0 + (step - 1) as f64 * it.lr_decay) * g / (a.sqrt() + it.eps);
            }
            Optimizer::Adam(it) => {
                g += it.weight_decay * *p;
                adam(p, a, b, g, step, lr, (it.beta1, it.beta2, it.eps));
            }
            Optimizer::AdamW(it) => {
                *p *= 1.0 - lr * it.weight_decay;
                adam(p, a, b, g, step, lr, (it.beta1, it.beta2, it.eps));
            }
        }
    }
}

fn adam(
    p: &mut f64,
    m: &mut f64,
    v: &mut f64,
    g: f64,
    step: u64,
    lr: f64,
    (beta1, beta2, eps): (f64, f64, f64),
) {
    *m = beta1 * *m + (1.0 - beta1) * g;
    *v = beta2 * *v + (1.0 - beta2) * g * g;
    let c1 = 1.0 - beta1.powi(step as i32);
    let c2 = 1.0 - beta2.powi(step as i32);
    *p -= lr / c1 * *m / (v.sqrt() / c2.sqrt() + eps);
}
