//! RustyML's `Sequential`, which shuffles every epoch, gathers batches and trains with Adam. Options as
//! `run.py` gives them; prints one JSON line as the other peers do.

use std::error::Error;
use std::time::Instant;

use ndarray::Array2;
use rustyml::neural_network::Shape;
use rustyml::neural_network::Tensor;
use rustyml::neural_network::layers::{Activation, Dense};
use rustyml::neural_network::losses::{MeanSquaredError, SparseCategoricalCrossEntropy};
use rustyml::neural_network::optimizers::Adam;
use rustyml::neural_network::sequential::{Sequential, SequentialBuilder};

/// The value of an option of the command line.
fn option(name: &str) -> Result<String, String> {
    let mut options = std::env::args().skip_while(|option| option != name).skip(1);
    options.next().ok_or(format!("expected {name} and a value"))
}

/// A sequence without a pattern that a network could not learn from; its values hardly count here.
fn value(index: usize) -> f32 {
    (index as f32 * 0.618).sin() * 1.5
}

fn model(layers: &[usize], batch: usize) -> Result<Sequential, Box<dyn Error>> {
    let hidden = match option("--activation")?.as_str() {
        "tanh" => Activation::Tanh,
        _ => Activation::ReLU,
    };
    let last = layers.len() - 1;
    let mut builder = SequentialBuilder::new_with_seed(1);
    for (index, &units) in layers.iter().enumerate().skip(1) {
        let activation = if index == last { Activation::Linear } else { hidden };
        builder = builder.add(Dense::new(units, activation)?);
    }
    let mut model = builder.build(&Shape::known(&[batch, layers[0]]))?;
    let adam = Adam::new(1e-3, 0.9, 0.999, 1e-8, 0.0)?;
    if option("--task")? == "classes" {
        model.compile(adam, SparseCategoricalCrossEntropy::new(true));
    } else {
        model.compile(adam, MeanSquaredError::new());
    }
    Ok(model)
}

fn data(layers: &[usize], rows: usize) -> Result<(Tensor, Tensor), Box<dyn Error>> {
    let (inputs, outputs) = (layers[0], layers[layers.len() - 1]);
    let x = Array2::from_shape_fn((rows, inputs), |(r, c)| value(r * inputs + c)).into_dyn();
    let y = if option("--task")? == "classes" {
        Array2::from_shape_fn((rows, 1), |(r, _)| (r % outputs) as f32).into_dyn()
    } else {
        Array2::from_shape_fn((rows, outputs), |(r, c)| value(r * 7 + c)).into_dyn()
    };
    Ok((x, y))
}

fn main() -> Result<(), Box<dyn Error>> {
    let layers: Vec<usize> =
        option("--layers")?.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let (batch, rows): (usize, usize) = (option("--batch")?.parse()?, option("--rows")?.parse()?);
    let (threads, seconds): (usize, f64) =
        (option("--threads")?.parse()?, option("--seconds")?.parse()?);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    // Whole batches, which are what counts as rows.
    let rows = rows / batch * batch;
    let (x, y) = data(&layers, rows)?;
    let mut model = model(&layers, batch)?;
    let mut run = |epochs: u32| -> Result<f64, Box<dyn Error>> {
        let start = Instant::now();
        model.fit_with_batches(&x, &y, epochs, batch)?;
        Ok(start.elapsed().as_secs_f64())
    };
    run(1)?;
    let mut epochs = 1;
    while run(epochs)? < (seconds / 4.0).min(0.05) {
        epochs *= 2;
    }
    let runs = (seconds / run(epochs)?).round().max(1.0) as usize;
    let mut times = (0..runs).map(|_| run(epochs)).collect::<Result<Vec<f64>, _>>()?;
    times.sort_by(f64::total_cmp);
    let epoch = times[runs / 2] / f64::from(epochs);
    println!(
        "{{\"program\": \"rustyml\", \"rows_per_s\": {}, \"epoch_s\": {epoch}, \"threads\": {threads}, \
         \"versions\": {{\"rustyml\": \"0.17.0\"}}}}",
        rows as f64 / epoch
    );
    Ok(())
}
