//! The program behind the adversarial part of `make test` and `make e2e`.

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use bartizan_adversary::faults::{self, Setup};
use bartizan_adversary::kinds::Kind;
use bartizan_adversary::races::{self, Races};
use bartizan_adversary::{
    artifacts, delivery, disconnects, keys, kinds, large, load, memory, module, policy, reloads, start,
    traps, updates,
};
use bartizan_host::{Module, Status};
use clap::{Parser, Subcommand};

/// Races, faults, disconnects, reloads and load for the built module, in the simulated Envoy.
///
/// Needs dist/bartizan.wasm (`make wasm`; or BARTIZAN_WASM=FILE), and nothing else.
#[derive(Parser)]
#[command(
    name = "bartizan-adversary",
    after_help = "\
Examples:
  bartizan-adversary quick                          what `make test` does
  bartizan-adversary races --seeds 100000           many orders of racing workers
  bartizan-adversary races --seed 4711 --seeds 1    one order again
  bartizan-adversary load --million                 a million requests in flat memory

Exit status: 0 if nothing gave way, 1 if something did, 2 if the command line is wrong."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Workers race for budgets; nobody gets more than there is.
    Races(Seeds),
    /// Each host call fails in turn on each kind of request, then several by chance; nothing gets in.
    Faults {
        #[command(flatten)]
        seeds: Seeds,
        /// Only by chance.
        #[arg(long)]
        drawn: bool,
    },
    /// Each host call fails in turn while a policy is loaded; no worker is left without one.
    Updates,
    /// Signed artifacts, good and bad, in an update and at the start.
    Artifacts,
    /// Bundles that are followed: bad answers, spoilt shared data, failing host calls, workers that vanish.
    Delivery,
    /// Keys that are fetched: rotation, outages, floods, bad answers, and requests that wait.
    Keys,
    /// Policies with a thousand routes and with ten thousand: time and size.
    Large,
    /// Clients and upstreams go away between any two frames.
    Disconnects {
        /// How many streams.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
        streams: u64,
    },
    /// Policies change while requests are in flight, and a VM fails and comes back.
    Reloads {
        /// How many updates, good and bad.
        #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..))]
        updates: u64,
        /// Where chance begins.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Requests of many kinds, in flat memory.
    Load {
        /// How many requests.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..))]
        requests: u64,
        /// A million requests.
        #[arg(long, conflicts_with = "requests")]
        million: bool,
    },
    /// VMs start quickly.
    Start,
    /// Everything, within seconds: what `make test` does.
    Quick,
    /// Everything, for longer, with a million requests: what `make e2e` does.
    Long,
}

#[derive(clap::Args)]
struct Seeds {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
}

impl Seeds {
    const fn range(&self) -> Range<u64> {
        self.seed..self.seed.saturating_add(self.seeds)
    }
}

/// Statuses that differ in what the filter makes of them: absent, wrong, lost a race, broken, and a lie.
const FEW: [Status; 5] =
    [Status::NotFound, Status::BadArgument, Status::CasMismatch, Status::InternalFailure, Status::Ok];

fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<()> {
    let module = module::load()?;
    match command {
        Command::Races(seeds) => race(&module, seeds.range()),
        Command::Faults { seeds, drawn } => {
            if !drawn && seeds.seeds > 1 {
                each_fault(&module, &Status::ALL)?;
            }
            drawn_faults(&module, seeds.range())
        }
        Command::Updates => update(&module, &Status::ALL),
        Command::Artifacts => sign(&module),
        Command::Delivery => deliver(&module),
        Command::Keys => fetch(&module),
        Command::Disconnects { streams } => disconnect(&module, streams),
        Command::Reloads { updates, seed } => {
            reload(&module, usize::try_from(updates)?, seed)?;
            trap(&module, 100)
        }
        Command::Load { requests, million } => loads(&module, if million { 1_000_000 } else { requests }),
        Command::Large => larges(&module, &[1_000, 10_000]),
        Command::Start => starts(&module),
        Command::Quick => {
            starts(&module)?;
            larges(&module, &[1_000])?;
            race(&module, 0..2_000)?;
            each_fault(&module, &FEW)?;
            drawn_faults(&module, 0..3_000)?;
            update(&module, &[Status::NotFound, Status::InternalFailure])?;
            sign(&module)?;
            deliver(&module)?;
            fetch(&module)?;
            disconnect(&module, 10_000)?;
            reload(&module, 1_000, 1)?;
            trap(&module, 20)?;
            loads(&module, 50_000)
        }
        Command::Long => {
            starts(&module)?;
            larges(&module, &[1_000, 10_000])?;
            race(&module, 0..10_000)?;
            each_fault(&module, &Status::ALL)?;
            drawn_faults(&module, 0..20_000)?;
            update(&module, &Status::ALL)?;
            sign(&module)?;
            deliver(&module)?;
            fetch(&module)?;
            disconnect(&module, 20_000)?;
            reload(&module, 2_000, 1)?;
            trap(&module, 100)?;
            loads(&module, 1_000_000)
        }
    }
}

fn starts(module: &Module) -> Result<()> {
    println!("{}", start::run(module, &policy::library("iot-gateway")?)?);
    Ok(())
}

fn larges(module: &Module, routes: &[usize]) -> Result<()> {
    for &routes in routes {
        println!("{}", large::run(module, routes)?);
    }
    Ok(())
}

fn sign(module: &Module) -> Result<()> {
    let started = Instant::now();
    println!("{}, in {}", artifacts::run(module)?, since(started));
    Ok(())
}

fn deliver(module: &Module) -> Result<()> {
    let started = Instant::now();
    println!("{}, in {}", delivery::run(module)?.line(), since(started));
    Ok(())
}

fn fetch(module: &Module) -> Result<()> {
    let started = Instant::now();
    println!("{}, in {}", keys::run(module)?.line(), since(started));
    Ok(())
}

fn race(module: &Module, seeds: Range<u64>) -> Result<()> {
    let started = Instant::now();
    let many = seeds.end.saturating_sub(seeds.start) >= 500;
    let tallies = halves(seeds, |seeds| Races::new(module)?.run(seeds))?;
    let tally = tallies.into_iter().fold(races::Tally::default(), races::Tally::and);
    println!("{}, in {}", tally.line(), since(started));
    // Too few seeds may well show nothing.
    if many { tally.check() } else { Ok(()) }
}

fn each_fault(module: &Module, statuses: &[Status]) -> Result<()> {
    let started = Instant::now();
    // One thread takes what has tokens: most of the time goes into making and checking them.
    let (tokens, others): (Vec<Kind>, Vec<Kind>) = kinds::all().into_iter().partition(Kind::has_token);
    let bodies: Vec<Kind> = others.iter().filter(|kind| kind.has_body()).cloned().collect();
    let (tokens, others) = both(
        || faults::each(module, Setup::Holding, &tokens, statuses),
        || {
            let holding = faults::each(module, Setup::Holding, &others, statuses)?;
            // Where headers cannot be held, what differs is what becomes of bodies.
            Ok(holding.and(faults::each(module, Setup::Streaming, &bodies, statuses)?))
        },
    )?;
    println!("{}, in {}", tokens.and(others).line("each call in turn"), since(started));
    Ok(())
}

fn drawn_faults(module: &Module, seeds: Range<u64>) -> Result<()> {
    let started = Instant::now();
    let parts = both(
        || faults::drawn(module, Setup::Holding, seeds.clone()),
        || faults::drawn(module, Setup::Streaming, seeds.clone()),
    )?;
    println!(
        "{}, in {}",
        parts.0.and(parts.1).line("several by chance, with headers held and not"),
        since(started)
    );
    Ok(())
}

fn update(module: &Module, statuses: &[Status]) -> Result<()> {
    let started = Instant::now();
    let statuses: Vec<Status> = statuses.iter().copied().filter(|status| *status != Status::Ok).collect();
    println!("{}, in {}", updates::run(module, &statuses)?.line(), since(started));
    Ok(())
}

fn disconnect(module: &Module, streams: u64) -> Result<()> {
    let started = Instant::now();
    let half = streams.div_ceil(2);
    let (holding, streaming) = both(
        || disconnects::run(module, Setup::Holding, half),
        || disconnects::run(module, Setup::Streaming, half),
    )?;
    println!(
        "disconnects: {} streams broken off at {} places, with headers held and not; {} of linear memory, as after the first round, in {}",
        holding.streams.saturating_add(streaming.streams),
        holding.places,
        memory::mib(u64::try_from(holding.linear.saturating_add(streaming.linear))?),
        since(started)
    );
    Ok(())
}

fn reload(module: &Module, updates: usize, seed: u64) -> Result<()> {
    let started = Instant::now();
    let tally = reloads::run(module, updates, seed)?;
    println!("{}, in {}", tally.line(), since(started));
    Ok(())
}

fn trap(module: &Module, count: usize) -> Result<()> {
    let started = Instant::now();
    let tally = traps::run(module, count)?;
    println!(
        "traps: a VM failed {} times, for want of fuel, and came back with its policy and its budgets, in {}",
        tally.traps,
        since(started)
    );
    Ok(())
}

fn loads(module: &Module, requests: u64) -> Result<()> {
    let started = Instant::now();
    let half = requests.div_ceil(2);
    let (one, two) = both(|| load::run(module, half, 1), || load::run(module, half, 2))?;
    let sent = one.requests.saturating_add(two.requests);
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "load: {sent} requests, {} let through, {:.0} a second by two threads; {} of linear memory in 2 proxies, as after a tenth; {} resident, in {}",
        one.admitted.saturating_add(two.admitted),
        f64::from(u32::try_from(sent)?) / seconds,
        memory::mib(u64::try_from(one.linear.saturating_add(two.linear))?),
        memory::mib(memory::resident()?),
        since(started)
    );
    Ok(())
}

fn since(started: Instant) -> String {
    format!("{:.1} s", started.elapsed().as_secs_f32())
}

/// Does the two halves of a range at the same time.
fn halves<T: Send>(of: Range<u64>, work: impl Fn(Range<u64>) -> Result<T> + Sync) -> Result<Vec<T>> {
    let middle = of.start.saturating_add(of.end.saturating_sub(of.start) / 2);
    if middle == of.start {
        return Ok(vec![work(of)?]);
    }
    let (one, two) = both(|| work(of.start..middle), || work(middle..of.end))?;
    Ok(vec![one, two])
}

/// Does two things at the same time.
fn both<T: Send>(
    one: impl FnOnce() -> Result<T> + Send,
    two: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, T)> {
    std::thread::scope(|scope| {
        let two = scope.spawn(two);
        let one = one();
        let two = two.join().map_err(|_| anyhow!("a suite panicked")).context("in the second thread");
        Ok((one?, two??))
    })
}
