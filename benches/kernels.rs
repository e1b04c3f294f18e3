//! The kernels by themselves: the three products as a share of the arithmetic peak, measured in
//! turns with it, and the elementwise functions.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use unisono::SimdLevel;
use unisono::bench_support::{Elementwise, Function, Products, fma_peak};
use unisono::bench_support::{Gauge, is_double_pumped, share_of_peak};

/// Rows, inputs and outputs: layers of small, medium and wide nets, one that fits anywhere, and one of as many rows as
/// one of two workers has of 256.
const SHAPES: [[usize; 3]; 5] =
    [[64, 784, 128], [64, 512, 512], [64, 2048, 2048], [64, 64, 64], [128, 784, 512]];

/// The weight gradient's, and into how many shards its rows are cut.
const GRADIENT: [usize; 3] = [256, 784, 512];
const SHARDS: [usize; 4] = [16, 4, 2, 1];

const FUNCTIONS: [Function; 4] =
    [Function::Exp, Function::Tanh, Function::Sigmoid, Function::AdamUpdate];

/// Values that stay in the first cache.
const VALUES: usize = 2048;

fn id(name: &str, [rows, inputs, outputs]: [usize; 3]) -> BenchmarkId {
    BenchmarkId::new(name, format!("{rows}x{inputs}x{outputs}"))
}

fn products(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("products");
    group.throughput(Throughput::Elements(fma_peak(4096) as u64));
    group.bench_function("peak", |bencher| bencher.iter(|| fma_peak(black_box(4096))));
    for shape @ [rows, inputs, outputs] in SHAPES {
        let mut products = Products::new(rows, inputs, outputs);
        group.throughput(Throughput::Elements(products.flops() as u64));
        group.bench_function(id("forward", shape), |bencher| bencher.iter(|| products.forward()));
        group.bench_function(id("input_gradient", shape), |bencher| {
            bencher.iter(|| products.input_gradient());
        });
    }
    let [rows, inputs, outputs] = GRADIENT;
    let mut products = Products::new(rows, inputs, outputs);
    group.throughput(Throughput::Elements(products.flops() as u64));
    for shards in SHARDS {
        let name = format!("weight_gradient_{shards}_shards");
        group.bench_function(id(&name, GRADIENT), |bencher| {
            bencher.iter(|| products.weight_gradient(shards));
        });
    }
    group.finish();
}

fn elementwise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("elementwise");
    group.throughput(Throughput::Elements(VALUES as u64));
    for function in FUNCTIONS {
        let mut values = Elementwise::new(VALUES);
        group.bench_function(BenchmarkId::new(function.name(), VALUES), |bencher| {
            bencher.iter(|| values.run(function));
        });
    }
    group.finish();
}

/// Prints the share of the peak that each product reaches.
fn table() {
    let gauge = Gauge::new();
    let level = SimdLevel::current();
    let pumped = level == SimdLevel::Avx512 && is_double_pumped();
    let pumped = if pumped { ", double-pumped" } else { "" };
    println!("\nshare of one core's arithmetic peak, {level}{pumped}");
    println!("{:<36} {:>8} {:>8}", "product", "median", "best");
    let line = |name: String, (median, best): (f64, f64)| {
        println!("{name:<36} {:>7.1}% {:>7.1}%", median * 100.0, best * 100.0);
    };
    for shape @ [rows, inputs, outputs] in SHAPES {
        let mut products = Products::new(rows, inputs, outputs);
        let flops = products.flops();
        let name = format!("{}x{}x{}", shape[0], shape[1], shape[2]);
        let share = share_of_peak(&gauge, flops, || products.forward());
        line(format!("forward {name}"), share);
        let share = share_of_peak(&gauge, flops, || products.input_gradient());
        line(format!("input gradient {name}"), share);
    }
    let [rows, inputs, outputs] = GRADIENT;
    let mut products = Products::new(rows, inputs, outputs);
    let flops = products.flops();
    for shards in SHARDS {
        let share = share_of_peak(&gauge, flops, || products.weight_gradient(shards));
        line(format!("weight gradient {rows}x{inputs}x{outputs} / {shards}"), share);
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    products(&mut criterion);
    elementwise(&mut criterion);
    criterion.final_summary();
    table();
}
