//! Classifies irises: the shortest whole program. Run it with `cargo run --release --example iris`.

use unisono::{Activation, Adam, CrossEntropy, Sequential, StandardScaler, TrainConfig};
use unisono::{datasets, train_parallel};

fn main() -> unisono::Result<()> {
    let (train, test) = datasets::iris().split(0.2, 42)?;
    let scaler = StandardScaler::fit(&train)?;
    let (train, test) = (scaler.transform(&train)?, scaler.transform(&test)?);

    let mut model = Sequential::builder(train.features())
        .dense(4, Activation::Relu)
        .dense(3, Activation::Softmax)
        .build(7)?; // checks every shape, then draws the parameters from seed 7
    println!("{model}\n");

    let config = TrainConfig::new(CrossEntropy::default(), Adam::default())
        .epochs(100)
        .batch_size(32)
        .threads(4); // changes the speed and nothing else
    let history = train_parallel(&mut model, &train, &config)?;
    println!("{history}\n");

    println!("test: {}", model.evaluate(&test)?);
    Ok(())
}
