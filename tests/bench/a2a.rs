//! An A2A call between two nodes with a standing connection, against bare libp2p streams with the same bytes.

mod bare;
mod binding;

use std::time::Duration;

use anyhow::Result;

use self::{bare::Bare, binding::Binding};
use super::{
    RUNS,
    figure::{Figure, median, percentile, us},
};

const GOAL_RATIO: f64 = 3.0;
/// Of each kind in a run.
const CALLS: usize = 2000;
/// Calls of one kind before the next kind has its turn, so that a disturbance meets all of them.
const TURN: usize = 100;

/// Round-trip times of one run, in µs.
#[derive(Debug, Default)]
struct Times {
    call: Vec<f64>,
    standing: Vec<f64>,
    opened: Vec<f64>,
    greeted: Vec<f64>,
}

pub(crate) fn measure() -> Result<Vec<Figure>> {
    // Each side has a runtime of its own, with as many workers as a node gives its mesh: two nodes share no thread.
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (here, there) = (runtime()?, runtime()?);
    let (runs, request, response) = here.block_on(async {
        let binding = Binding::start(there.handle()).await?;
        let (request, response) = (binding.request().to_vec(), binding.response().await?);
        let bytes = (request.len(), response.len());
        let bare = Bare::start(there.handle(), request, response).await?;
        run(&binding, &bare, TURN).await?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(run(&binding, &bare, CALLS).await?);
        }
        anyhow::Ok((runs, bytes.0, bytes.1))
    })?;
    here.shutdown_background();
    there.shutdown_background();
    Ok(figures(&runs, request, response))
}

async fn run(binding: &Binding, bare: &Bare, calls: usize) -> Result<Times> {
    let mut times = Times::default();
    let mut standing = bare.stand().await?;
    for _ in 0..calls / TURN {
        for _ in 0..TURN {
            times.call.push(binding.call().await.map(us)?);
        }
        for _ in 0..TURN {
            times.standing.push(bare.on(&mut standing).await.map(us)?);
        }
        for _ in 0..TURN {
            times.opened.push(bare.opened().await.map(us)?);
        }
        for _ in 0..TURN {
            times.greeted.push(bare.greeted().await.map(us)?);
        }
    }
    Ok(times)
}

fn figures(runs: &[Times], request: usize, response: usize) -> Vec<Figure> {
    let medians = |kind: fn(&Times) -> &Vec<f64>| runs.iter().map(|run| median(kind(run))).collect::<Vec<_>>();
    let tail = |kind: fn(&Times) -> &Vec<f64>| {
        format!(
            "{CALLS} a run; p99 {:.0}",
            median(&runs.iter().map(|run| percentile(kind(run), 99)).collect::<Vec<_>>())
        )
    };
    let ratio = |kind: fn(&Times) -> &Vec<f64>| {
        medians(|run| &run.call).iter().zip(medians(kind)).map(|(call, bare)| call / bare).collect::<Vec<_>>()
    };
    let figure = |name: &str, kind: fn(&Times) -> &Vec<f64>| Figure::new(name, "µs", medians(kind)).note(tail(kind));
    let bytes = format!("{request} bytes there, {response} back");
    vec![
        figure("A2A GetTask", |run| &run.call),
        figure("bare libp2p, one long-lived stream", |run| &run.standing),
        figure("bare libp2p, a stream for each call", |run| &run.opened),
        figure("bare libp2p, a stream for each call, greeted both ways", |run| &run.greeted),
        Figure::new("A2A / bare long-lived stream", "×", ratio(|run| &run.standing)).at_most(GOAL_RATIO).note(bytes),
        Figure::new("A2A / bare stream for each call", "×", ratio(|run| &run.opened)).at_most(GOAL_RATIO),
    ]
}

/// Far above what a round trip takes, so that a failure ends.
const PATIENCE: Duration = Duration::from_secs(30);
