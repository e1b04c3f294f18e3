//! Tables as people have them: fitted on some rows, applied to others, saved with the model.

mod common;

use ndarray::array;
use unisono::metrics::r2;
use unisono::{
    Activation, Adam, CrossEntropy, Dataset, MeanSquaredError, MinMaxScaler, Missing,
    Preprocessing, Preprocessor, Scaler, Sequential, StandardScaler, Table, Task, TrainConfig,
    Unseen, datasets, train_parallel,
};

fn table(text: &str) -> Table {
    Table::from_csv_text(text).unwrap()
}

const HOUSES: &str = "\
rooms,city,heated,price
2,Rome,yes,100
4,Oslo,no,300
3,Oslo,yes,200
3,Bonn,yes,240
";

#[test]
fn numbers_are_standardised_and_text_is_one_hot_by_frequency() {
    let fitted = Preprocessor::new().target("price").fit(&table(HOUSES)).unwrap();
    let names = ["rooms", "city=Oslo", "city=Bonn", "city=Rome", "heated=yes", "heated=no"];
    assert_eq!(fitted.feature_names(), names);
    let x = fitted.transform(&table(HOUSES)).unwrap();
    let z = 0.5_f32.sqrt().recip();
    let expected = array![
        [-z, 0.0, 0.0, 1.0, 1.0, 0.0],
        [z, 1.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 1.0, 0.0, 1.0, 0.0],
    ];
    assert!((&x - &expected).iter().all(|d| d.abs() < 1e-6), "{x}");
    let data = fitted.dataset(&table(HOUSES)).unwrap();
    let back = fitted.restore(data.values().unwrap().to_owned()).unwrap();
    assert!(
        (&back - &array![[100.0_f32], [300.0], [200.0], [240.0]]).iter().all(|d| d.abs() < 1e-3)
    );
}

/// Milliseconds of a date have 13 digits, an f32 has 7.
#[test]
fn large_numbers_that_differ_by_little_keep_their_differences() {
    let base = 1_600_000_000_000_u64;
    let text = (0..200)
        .fold("t,y\n".to_owned(), |text, n| text + &format!("{},{}.5\n", base + n, base + 3 * n));
    let small = text.replace(&base.to_string()[..10], "0");
    let fit = |text: &str| {
        let fitted = Preprocessor::new().target("y").fit(&table(text)).unwrap();
        let data = fitted.dataset(&table(text)).unwrap();
        (data.x().to_owned(), data.values().unwrap().to_owned())
    };
    let ((x, y), (small_x, small_y)) = (fit(&text), fit(&small));
    for (large, small) in [(x, small_x), (y, small_y)] {
        assert!(large.iter().is_sorted_by(|a, b| a < b));
        assert!((&large - &small).iter().all(|d| d.abs() < 1e-5), "{large}");
    }
}

#[test]
fn raw_rows_of_numbers_that_an_f32_does_not_tell_apart_are_refused() {
    let text = (0..200).fold("t,n,y\n".to_owned(), |text, n| {
        text + &format!("{},{n},{n}.5\n", 1_600_000_000_000_u64 + n)
    });
    let fitted = Preprocessor::new().target("y").fit(&table(&text)).unwrap();
    let error = fitted.transform_array(array![[1.6e12, 3.0]].view()).unwrap_err().to_string();
    assert!(error.contains("column \"t\" holds numbers of more digits"), "{error}");
    assert!(fitted.transform(&table("t,n\n1600000000003,3\n")).is_ok());
    let constant = table("k,y\n5000000,1.5\n5000000,2.5\n");
    let fitted = Preprocessor::new().target("y").fit(&constant).unwrap();
    assert_eq!(fitted.transform_array(array![[5e6]].view()).unwrap(), array![[0.0]]);
}

#[test]
fn features_that_would_have_one_name_are_refused() {
    let both = table("colour,colour=red,y\nred,1,2.5\nblue,2,3.5\n");
    let error = Preprocessor::new().target("y").fit(&both).unwrap_err().to_string();
    assert!(error.contains("`features` expected each name once, found \"colour=red\""), "{error}");
}

#[test]
fn a_constant_column_becomes_zeros() {
    let text = (0..100).fold("a,b,y\n".to_owned(), |text, n| text + &format!("0.1,{n},{n}.5\n"));
    let fitted = Preprocessor::new().target("y").fit(&table(&text)).unwrap();
    let x = fitted.transform(&table(&text)).unwrap();
    assert!(x.column(0).iter().all(|&v| v == 0.0));
}

#[test]
fn a_target_that_cannot_be_learned_is_refused() {
    let fit = |text: &str| Preprocessor::new().target("y").fit(&table(text));
    let error = fit("x,y\n1,no\n2,no\n").unwrap_err().to_string();
    let expected = "column \"y\": expected two classes or more, found \"no\" alone";
    assert!(error.contains(expected) && error.contains("class_names"), "{error}");
    let named = Preprocessor::new().target("y").class_names(["no"]);
    let error = named.fit(&table("x,y\n1,no\n2,no\n")).unwrap_err().to_string();
    assert!(error.contains(expected) && error.contains("Task::Regression"), "{error}");
    let error = fit("x,y\n1,Mild\n2,None\n").unwrap_err().to_string();
    assert!(error.contains("line 3: column \"y\": \"None\": the target is missing"), "{error}");
    assert!(error.contains("name the classes"), "{error}");
    let named = Preprocessor::new().target("y").class_names(["Mild", "None"]);
    assert!(named.fit(&table("x,y\n1,Mild\n2,None\n")).is_ok());
}

#[test]
fn named_classes_keep_their_order_and_may_be_absent() {
    let named = |names: &[&str]| {
        let names = names.iter().copied();
        Preprocessor::new().target("heated").class_names(names).fit(&table(HOUSES))
    };
    let data = named(&["yes", "broken", "no"]).unwrap().dataset(&table(HOUSES)).unwrap();
    assert_eq!(data.labels().unwrap(), [0, 2, 0, 0]);
    assert_eq!(data.class_names().unwrap(), ["yes", "broken", "no"]);
    for (names, expected) in [
        (
            &["yes", "broken"][..],
            "line 3: column \"heated\": expected one of \"yes\", \"broken\", found \"no\"",
        ),
        (&["no", "yes", "no"], "expected each name once, found \"no\" twice"),
    ] {
        let error = named(names).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let first = Preprocessor::new().target("heated").class_names(["yes", "other", "no"]);
    let told = first.task(Task::Classification).fit(&table(HOUSES)).unwrap();
    assert_eq!(told.class_names().unwrap(), ["yes", "other", "no"]);
    let sorted = Preprocessor::new().target("heated").class_names(["no"]).task(Task::Guess);
    assert_eq!(sorted.fit(&table(HOUSES)).unwrap().class_names().unwrap(), ["no", "yes"]);
}

#[test]
fn columns_are_chosen_left_out_and_taken_as_categories() {
    let base = || Preprocessor::new().target("price");
    let names = |it: Preprocessor| it.fit(&table(HOUSES)).unwrap().feature_names();
    assert_eq!(names(base().only(["rooms"])), ["rooms"]);
    assert_eq!(names(base().without(["city", "heated"])), ["rooms"]);
    let rooms = names(base().only(["rooms"]).categories(["rooms"]));
    assert_eq!(rooms, ["rooms=3", "rooms=2", "rooms=4"]);
    assert_eq!(names(base().only(["city"]).most_categories(1)), ["city=Oslo"]);
}

#[test]
fn missing_and_unseen_values_do_as_they_are_told() {
    let gaps = table("n,c,y\n1,a,0\nNA,,1\n3,b,0\n");
    let base = || Preprocessor::new().target("y");
    let error = base().fit(&gaps).unwrap_err().to_string();
    assert!(error.contains("line 3: column \"n\"") && error.contains("missing"), "{error}");
    let x = |missing| base().missing(missing).fit(&gaps).unwrap().transform(&gaps).unwrap();
    assert_eq!(x(Missing::Mean).row(1), array![0.0, 0.0, 0.0]);
    assert_eq!(x(Missing::Constant(3.0)).row(1), array![1.0, 0.0, 0.0]);

    let known = table("c,y\na,0\nb,1\n");
    let new = table("c\nz\n");
    assert_eq!(base().fit(&known).unwrap().transform(&new).unwrap(), array![[0.0_f32, 0.0]]);
    let error = base().unseen(Unseen::Error).fit(&known).unwrap().transform(&new).unwrap_err();
    let expected = "line 2: column \"c\": expected one of \"a\", \"b\", found \"z\"";
    assert!(error.to_string().contains(expected), "{error}");
    let error = base().fit(&known).unwrap().transform(&table("c\nNA\n")).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}

#[test]
fn a_slip_in_a_column_of_numbers_is_named() {
    let mut text = "age,rooms,y\n".to_owned();
    for n in 0..60 {
        let (age, rooms) = (if n == 41 { "4l".into() } else { n.to_string() }, n % 4);
        text += &format!("{age},{}{},{}\n", rooms, if rooms == 3 { "+" } else { "" }, n % 2);
    }
    let fit = |it: Preprocessor| it.target("y").fit(&table(&text));
    let error = fit(Preprocessor::new()).unwrap_err().to_string();
    assert!(error.contains("line 43: column \"age\": \"4l\" is not a number"), "{error}");
    // A few values are categories, whatever they look like, and so is what is called so.
    let names = fit(Preprocessor::new().without(["age"])).unwrap().feature_names();
    assert_eq!(names, ["rooms=0", "rooms=1", "rooms=2", "rooms=3+"]);
    assert_eq!(fit(Preprocessor::new().categories(["age"])).unwrap().features(), 50 + 4);
}

#[test]
fn the_task_is_guessed_and_can_be_said() {
    let classes = |text: &str, task| {
        let fitted = Preprocessor::new().target("y").task(task).fit(&table(text)).unwrap();
        fitted.class_names().map(<[String]>::to_vec)
    };
    let names = |names: &[&str]| Some(names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
    assert_eq!(classes("x,y\n1,b\n2,a\n", Task::Guess), names(&["a", "b"]));
    assert_eq!(classes("x,y\n1,10\n2,9\n", Task::Guess), names(&["9", "10"]));
    assert_eq!(classes("x,y\n1,1.5\n2,9\n", Task::Guess), None);
    assert_eq!(classes("x,y\n1,10\n2,9\n", Task::Regression), None);
    assert_eq!(classes("x,y\n1,1.5\n2,9\n", Task::Classification), names(&["1.5", "9"]));
    let wrong = Preprocessor::new().target("y").task(Task::Regression);
    let error = wrong.fit(&table("x,y\n1,b\n2,a\n")).unwrap_err().to_string();
    assert!(error.contains("line 2: column \"y\": \"b\" is not a number"), "{error}");
}

fn target(cells: impl IntoIterator<Item = String>) -> Table {
    let rows = cells.into_iter().enumerate().map(|(row, cell)| format!("{row},{cell}\n"));
    table(&("x,y\n".to_owned() + &rows.collect::<String>()))
}

#[test]
fn a_slip_in_a_target_of_numbers_is_named() {
    let price = |n: usize| if n == 41 { "4l.5".into() } else { format!("{n}.5") };
    let prices = target((0..60).map(price));
    let fit = |task| Preprocessor::new().target("y").task(task).fit(&prices);
    let error = fit(Task::Guess).unwrap_err().to_string();
    let expected = "line 43: column \"y\": \"4l.5\" is not a number, and most of the others are";
    assert!(error.contains(expected) && error.contains("Task::Classification"), "{error}");
    assert_eq!(fit(Task::Classification).unwrap().class_names().unwrap().len(), 60);
    let rooms = target((0..60).map(|n| ["1", "2", "3+"][n % 3].to_owned()));
    let fitted = Preprocessor::new().target("y").fit(&rooms).unwrap();
    assert_eq!(fitted.class_names().unwrap(), ["1", "2", "3+"]);
}

#[test]
fn whole_numbers_are_classes_however_they_are_written() {
    let rows = target((0..10).map(|n| ["1.0", "0.0", "1"][n % 3].to_owned()));
    let fitted = Preprocessor::new().target("y").fit(&rows).unwrap();
    assert_eq!(fitted.class_names().unwrap(), ["0.0", "1"]);
    let data = fitted.dataset(&rows).unwrap();
    assert_eq!(data.labels().unwrap(), [1, 0, 1, 1, 0, 1, 1, 0, 1, 1]);
}

#[test]
fn a_class_may_have_a_name_that_else_stands_for_nothing() {
    let regions = target(["EU", "NA", "EU"].map(String::from));
    let named = |names: [&str; 2]| Preprocessor::new().target("y").class_names(names);
    let data = named(["NA", "EU"]).fit(&regions).unwrap().dataset(&regions).unwrap();
    assert_eq!(data.labels().unwrap(), [1, 0, 1]);
    let error = named(["AS", "EU"]).fit(&regions).unwrap_err().to_string();
    assert!(error.contains("line 3: column \"y\"") && error.contains("\"NA\""), "{error}");
}

#[test]
fn many_names_of_classes_are_in_one_order() {
    let mut names: Vec<String> = (1..=30).rev().map(|n| n.to_string()).collect();
    names.extend(["1a", "12b", "2c", "30d", "+", "9z"].map(String::from));
    let cells = names.iter().enumerate();
    let cells = cells.flat_map(|(i, name)| std::iter::repeat_n(name.clone(), 1 + i * 7 % 36));
    let rows = target(cells);
    let fitted = Preprocessor::new().target("y").task(Task::Classification).fit(&rows).unwrap();
    names.sort_unstable();
    assert_eq!(fitted.class_names().unwrap(), names);
}

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let fit = |it: Preprocessor| it.fit(&table(HOUSES)).unwrap_err().to_string();
    for (error, expected) in [
        (fit(Preprocessor::new().target("cost")), "column \"cost\", found \"rooms\", \"city\""),
        (fit(Preprocessor::new().without(["x"])), "\"x\""),
        (fit(Preprocessor::new().missing(Missing::Constant(f32::NAN))), "`missing` expected"),
        (fit(Preprocessor::new().only(["price"]).target("price")), "at least one column"),
    ] {
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }
    let fitted = Preprocessor::new().target("city").fit(&table(HOUSES)).unwrap();
    let other = table("rooms,city,heated,price\n1,Paris,yes,5\n");
    let error = fitted.dataset(&other).unwrap_err().to_string();
    assert!(error.contains("line 2: column \"city\": expected one of"), "{error}");
    let mut model = Sequential::builder(2).dense(3, Activation::Softmax).build(1).unwrap();
    let error = model.set_preprocessing(fitted).unwrap_err().to_string();
    assert!(error.contains("features of the preprocessing: expected 2, found 4"), "{error}");
    assert!(model.predict_labels(&other).unwrap_err().to_string().contains("set_preprocessing"));
}

#[test]
fn a_saved_model_takes_raw_rows() {
    for target in ["heated", "price"] {
        let fitted = Preprocessor::new().target(target).fit(&table(HOUSES)).unwrap();
        let data = fitted.dataset(&table(HOUSES)).unwrap();
        let classes = data.classes();
        let builder = Sequential::builder(data.features());
        let builder = match classes {
            Some(classes) => builder.dense(classes, Activation::Softmax),
            None => builder.dense(1, Activation::Identity),
        };
        let mut model = builder.build(1).unwrap();
        let adam = Adam::new(0.1);
        let config = match classes {
            Some(_) => TrainConfig::new(CrossEntropy::default(), adam),
            None => TrainConfig::new(MeanSquaredError, adam),
        };
        train_parallel(&mut model, &data, &config.epochs(200)).unwrap();
        model.set_preprocessing(fitted).unwrap();
        let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(back.preprocessing(), model.preprocessing());
        let predicted = back.predict_table(&table(HOUSES)).unwrap();
        assert_eq!(predicted, model.predict_table(&table(HOUSES)).unwrap());
        if classes.is_some() {
            let labels = back.predict_labels(&table(HOUSES)).unwrap();
            assert_eq!(labels, table(HOUSES).column("heated").unwrap());
        } else {
            assert!((predicted[(1, 0)] - 300.0).abs() < 1.0, "{predicted}");
        }
    }
}

#[test]
fn a_scaler_is_saved_with_the_model_that_then_takes_raw_rows() {
    let raw = datasets::iris();
    let standard: Scaler = StandardScaler::fit(&raw).unwrap().into();
    let range: Scaler = MinMaxScaler::fit_to(&raw, -1.0, 1.0).unwrap().into();
    let text = raw.x().outer_iter().fold(raw.feature_names().unwrap().join(","), |text, row| {
        let cells: Vec<_> = row.iter().map(f32::to_string).collect();
        text + "\n" + &cells.join(",")
    });
    for scaler in [standard, range] {
        let scaled = scaler.transform_array(raw.x()).unwrap();
        let data = Dataset::classification(scaled.clone(), raw.labels().unwrap().iter().copied())
            .and_then(|data| data.with_feature_names(raw.feature_names().unwrap().to_vec()))
            .and_then(|data| data.with_class_names(raw.class_names().unwrap().to_vec()))
            .unwrap();
        let mut model = Sequential::builder(4).dense(3, Activation::Softmax).build(1).unwrap();
        let config = TrainConfig::new(CrossEntropy::default(), Adam::new(0.1)).epochs(30);
        train_parallel(&mut model, &data, &config).unwrap();
        model.set_preprocessing(scaler.clone()).unwrap();
        let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(back.preprocessing().unwrap().scaler(), Some(&scaler));
        let expected = model.predict(scaled.view()).unwrap();
        assert_eq!(back.predict_raw(raw.x()).unwrap(), expected);
        assert_eq!(back.predict_table(&table(&text)).unwrap(), expected);
        let classes = back.predict_raw_classes(raw.x()).unwrap();
        let names = raw.class_names().unwrap();
        let labels: Vec<_> = classes.iter().map(|&class| names[class].clone()).collect();
        assert_eq!(back.predict_labels(&table(&text)).unwrap(), labels);
        let mut nan = raw.x().to_owned();
        nan[(3, 2)] = f32::NAN;
        let error = back.predict_raw(nan.view()).unwrap_err().to_string();
        assert!(error.contains("row 3, column 2"), "{error}");
    }
}

#[test]
fn predictions_come_back_in_the_units_of_scaled_targets() {
    let data = datasets::synthetic_regression(200, 3, 2, 1).unwrap();
    let (raw, y) = (data.x().mapv(|x| 1e4 + 10.0 * x), data.values().unwrap().mapv(|y| 500.0 * y));
    let scaler = StandardScaler::fit_array(raw.view()).unwrap();
    let target = MinMaxScaler::fit_array(y.view(), -1.0, 1.0).unwrap();
    let scaled = Dataset::regression(
        scaler.transform_array(raw.view()).unwrap(),
        target.transform_array(y.view()).unwrap(),
    );
    let builder = Sequential::builder(3).dense(32, Activation::Tanh);
    let mut model = builder.dense(2, Activation::Identity).build(1).unwrap();
    let config = TrainConfig::new(MeanSquaredError, Adam::new(0.01)).epochs(200);
    train_parallel(&mut model, &scaled.unwrap(), &config).unwrap();
    model
        .set_preprocessing(Preprocessing::from(scaler.clone()).with_target_scaler(target))
        .unwrap();
    let back = Sequential::from_bytes(&model.to_bytes().unwrap()).unwrap();
    let predicted = back.predict_raw(raw.view()).unwrap();
    assert!(r2(predicted.view(), y.view()).unwrap() > 0.9);

    let narrow = MinMaxScaler::from_parts(vec![0.0], vec![1.0], 0.0, 1.0).unwrap();
    let wrong = Preprocessing::from(scaler.clone()).with_target_scaler(narrow);
    let error = model.set_preprocessing(wrong.clone()).unwrap_err().to_string();
    assert!(error.contains("target's scaler: expected 2, found 1"), "{error}");
    assert!(wrong.restore(y).is_err());
    let two = StandardScaler::from_parts(vec![0.0; 2], vec![1.0; 2]).unwrap();
    let error = model.set_preprocessing(two).unwrap_err().to_string();
    assert!(error.contains("features of the preprocessing: expected 3, found 2"), "{error}");
    let error = wrong.transform(&table("a\n1\n")).unwrap_err().to_string();
    assert!(error.contains("transform_array"), "{error}");
}

#[test]
fn values_beyond_f32_are_no_predictions() {
    let fitted = Preprocessor::new().target("price").fit(&table(HOUSES)).unwrap();
    let error = fitted.restore(array![[1.0], [f32::MAX]]).unwrap_err().to_string();
    assert!(error.contains("row 1") && error.contains("inf"), "{error}");
}

#[test]
fn a_tables_target_takes_no_scaler_of_its_own() {
    let one = StandardScaler::from_parts(vec![0.0], vec![2.0]).unwrap();
    for target in ["price", "heated"] {
        let fitted = Preprocessor::new().target(target).fit(&table(HOUSES)).unwrap();
        let features = fitted.features();
        let mut model =
            Sequential::builder(features).dense(1, Activation::Identity).build(1).unwrap();
        let both = fitted.clone().with_target_scaler(one.clone());
        let error = model.set_preprocessing(both).unwrap_err().to_string();
        assert!(error.contains("found both"), "{error}");
        model.set_preprocessing(fitted).unwrap();
    }
}

#[test]
fn arrays_take_the_place_of_tables_of_numbers() {
    let gaps = table("a,b,y\n1,30,0\nNA,50,1\n4,20,0\n");
    let fitted = Preprocessor::new().target("y").missing(Missing::Mean).fit(&gaps).unwrap();
    let raw = array![[1.0, 30.0], [f32::NAN, 50.0], [4.0, 20.0]];
    assert_eq!(fitted.transform_array(raw.view()).unwrap(), fitted.transform(&gaps).unwrap());
    let strict = Preprocessor::new().target("y").only(["b"]).fit(&gaps).unwrap();
    let message =
        |x: ndarray::Array2<f32>| strict.transform_array(x.view()).unwrap_err().to_string();
    assert!(message(array![[f32::NAN]]).contains("row 0, column \"b\" is NaN"));
    assert!(message(raw).contains("columns of raw rows: expected 1, found 2"));
    let text = Preprocessor::new().fit(&table("c\nu\n")).unwrap();
    let error = text.transform_array(array![[0.0]].view()).unwrap_err().to_string();
    assert!(error.contains("column \"c\" holds categories"), "{error}");
}
