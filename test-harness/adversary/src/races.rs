//! Workers that race for a budget.
//!
//! Two to eight workers charge the same limits at the same time, in an order that a seed decides. Each seed begins with
//! empty slots, so that it does not depend on the seeds before it, and the first insert of a slot is raced for as well.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_cases::chance::Chance;
use bartizan_cases::format::Token;
use bartizan_host::{Module, Outcome, Proxy, Request, Worker};
use serde_json::json;

use crate::policy::{Policy, VM_ID, usual};

const BUNDLE: &str = r#"
apiVersion: bartizan/v1
name: races
authentication:
  jwt: [{name: a, issuer: "https://a.example/", algorithms: [HS256], keys: {secret: {env: A}}}]
limits:
  one: {key: client.address, rate: 7/1m}
  windows: {key: client.address, rate: [5/1m, 8/1h]}
  address: {key: client.address, rate: 4/1m}
  subject: {key: identity.subject, rate: 6/1m}
  everybody: {key: everybody, rate: 10/1m}
  crowd: {key: client.address, rate: 3/1m}
routes:
  - {path: /one, methods: [GET], access: public, limits: [one]}
  - {path: /windows, methods: [GET], access: public, limits: [windows]}
  - {path: /keys, methods: [GET], access: public, limits: [address, everybody]}
  - {path: /subjects, methods: [GET], access: authenticated, limits: [subject]}
  - {path: /crowd, methods: [GET], access: public, limits: [crowd]}
"#;

/// The most workers that race.
const WORKERS: usize = 8;

/// How many keys share one slot in the race for it; it holds eight.
const CROWD: usize = 12;

/// What is raced for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Budget {
    /// One key: 7.
    One,
    /// Two windows: 5 at once, and after a minute as many as are left of 8.
    Windows,
    /// Several keys with 4 each, and 10 for all of them.
    Keys,
    /// Several subjects with 6 each, each with several tokens.
    Subjects,
    /// Keys with 3 each, more of them than their slot holds.
    Crowd,
}

impl Budget {
    const ALL: [Self; 5] = [Self::One, Self::Windows, Self::Keys, Self::Subjects, Self::Crowd];

    const fn path(self) -> &'static str {
        match self {
            Self::One => "/one",
            Self::Windows => "/windows",
            Self::Keys => "/keys",
            Self::Subjects => "/subjects",
            Self::Crowd => "/crowd",
        }
    }

    /// How many keys, how many requests by each worker.
    fn size(self, chance: &mut Chance) -> (usize, usize) {
        match self {
            Self::One | Self::Windows => (1, chance.between(2, 6)),
            Self::Keys => (chance.between(2, 5), chance.between(3, 8)),
            Self::Subjects => (chance.between(1, 3), chance.between(3, 7)),
            Self::Crowd => (CROWD, chance.between(6, 10)),
        }
    }

    /// The most that each key gets in one round, if it got so many in the rounds before.
    fn each(self, before: usize) -> usize {
        match self {
            Self::One => 7,
            Self::Windows => 8_usize.saturating_sub(before).min(5),
            Self::Keys => 4,
            Self::Subjects => 6,
            Self::Crowd => 3,
        }
    }

    /// How many limits a request is charged to.
    const fn limits(self) -> u64 {
        if matches!(self, Self::Keys) { 2 } else { 1 }
    }

    const fn rounds(self) -> usize {
        if matches!(self, Self::Windows) { 2 } else { 1 }
    }
}

/// What came of some seeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Seeds that were raced.
    pub seeds: u64,
    /// Requests sent.
    pub requests: usize,
    /// Requests let through.
    pub admitted: usize,
    /// Compare-and-swaps that were lost and run again.
    pub lost: u64,
    /// Seeds in which a key found its slot full and got less than its budget: a drop happened.
    pub crowded: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            seeds: self.seeds.saturating_add(other.seeds),
            requests: self.requests.saturating_add(other.requests),
            admitted: self.admitted.saturating_add(other.admitted),
            lost: self.lost.saturating_add(other.lost),
            crowded: self.crowded.saturating_add(other.crowded),
        }
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "races: {} seeds, 2 to {WORKERS} workers, {} requests, {} let through and none beyond a budget; {} swaps lost and run again, {} slots overfull",
            self.seeds, self.requests, self.admitted, self.lost, self.crowded
        )
    }

    /// Fails if there was nothing to see: nobody lost a race, or no slot was full.
    ///
    /// # Errors
    /// With what was missing.
    pub fn check(&self) -> Result<()> {
        ensure!(self.lost > 0, "no swap was ever lost: the workers do not race");
        ensure!(self.crowded > 0, "no slot was ever overfull: nothing was dropped");
        Ok(())
    }
}

/// Races for budgets, one after the other.
pub struct Races {
    policy: Policy,
    proxy: Proxy,
    /// Addresses whose keys lie in one slot.
    crowd: Vec<Ipv4Addr>,
    tokens: Vec<Vec<String>>,
}

impl Races {
    /// A proxy with eight workers.
    ///
    /// # Errors
    /// When it does not start.
    pub fn new(module: &Module) -> Result<Self> {
        let mut policy = Policy::compile(BUNDLE, &[])?;
        let crowd = policy.plan.limits.iter_mut().find(|limit| limit.id == "crowd");
        // Fewer slots than the language allows, so that few keys are enough.
        crowd.context("the bundle has no limit `crowd`")?.slots = 64;
        let proxy = policy.proxy(module, &usual()).workers(WORKERS).start()?;
        let mut races = Self { policy, proxy, crowd: Vec::new(), tokens: Vec::new() };
        races.crowd = races.find_crowd()?;
        races.tokens = races.mint()?;
        Ok(races)
    }

    /// Addresses that share a slot, found by looking which slot each writes.
    fn find_crowd(&self) -> Result<Vec<Ipv4Addr>> {
        let mut by_slot: BTreeMap<Vec<u8>, Vec<Ipv4Addr>> = BTreeMap::new();
        for number in 0..=u8::MAX {
            let address = Ipv4Addr::new(10, 1, 0, number);
            self.proxy.shared_data().forget(VM_ID);
            let answer = self.proxy.worker(0).send(from(Request::get("/crowd"), address));
            ensure!(answer.status() == 200, "the first request of {address} was refused");
            for slot in self.proxy.shared_data().keys(VM_ID) {
                let crowd = by_slot.entry(slot).or_default();
                crowd.push(address);
                if crowd.len() == CROWD {
                    return Ok(std::mem::take(crowd));
                }
            }
        }
        bail!("no slot has {CROWD} of 256 addresses: the limit has more slots than this suite expects")
    }

    /// Some tokens for each of some subjects.
    fn mint(&self) -> Result<Vec<Vec<String>>> {
        let token = |subject: usize, number: usize| {
            let claims = [("exp", json!("+36500d")), ("jti", json!(number))];
            let claims = claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let token = Token { claims, ..Token::default() };
            self.policy.token(&token, self.proxy.now().as_secs(), &format!("subject-{subject}"))
        };
        (0..3).map(|subject| (0..4).map(|number| token(subject, number)).collect()).collect()
    }

    /// Runs seeds.
    ///
    /// # Errors
    /// With the first seed under which somebody got more than his budget, or less although nobody else had it.
    pub fn run(&self, seeds: Range<u64>) -> Result<Tally> {
        let mut tally = Tally::default();
        for seed in seeds {
            let part = self.seed(seed).with_context(|| {
                format!(
                    "races, seed {seed}; to see it again: bartizan-adversary races --seed {seed} --seeds 1"
                )
            })?;
            tally = tally.and(part);
        }
        Ok(tally)
    }

    fn seed(&self, seed: u64) -> Result<Tally> {
        let mut chance = Chance::new(seed);
        let budget = *chance.pick(&Budget::ALL).context("there are budgets")?;
        let workers = chance.between(2, WORKERS);
        let (keys, each) = budget.size(&mut chance);
        self.proxy.shared_data().forget(VM_ID);
        let mut tally = Tally { seeds: 1, ..Tally::default() };
        let mut before = 0;
        for round in 0..budget.rounds() {
            if round > 0 {
                self.proxy.advance(Duration::from_secs(60));
            }
            let jobs: Vec<_> = (0..workers)
                .map(|_| {
                    let requests: Vec<_> =
                        (0..each).map(|_| self.request(budget, keys, &mut chance)).collect();
                    move |worker: &Worker| send(worker, requests, budget.limits())
                })
                .collect();
            let ends = self.proxy.race(seed, jobs).into_iter().collect::<Result<Vec<_>>>()?;
            let mut wanted = BTreeMap::<usize, usize>::new();
            let mut given = BTreeMap::<usize, usize>::new();
            for end in &ends {
                tally.lost = tally.lost.saturating_add(end.lost);
                for (key, admitted) in &end.requests {
                    *wanted.entry(*key).or_default() += 1;
                    *given.entry(*key).or_default() += usize::from(*admitted);
                    tally.requests += 1;
                    tally.admitted += usize::from(*admitted);
                }
            }
            let what = format!("{budget:?}, {workers} workers, {each} requests by each, round {round}");
            tally.crowded += u64::from(judge(budget, before, &wanted, &given).context(what)?);
            before = given.values().sum();
        }
        Ok(tally)
    }

    fn request(&self, budget: Budget, keys: usize, chance: &mut Chance) -> (usize, Request) {
        let key = chance.below(keys);
        let request = Request::get(budget.path());
        let request = match budget {
            Budget::Subjects => {
                let token = self.tokens.get(key).and_then(|tokens| chance.pick(tokens));
                request.header("authorization", format!("Bearer {}", token.map_or("", String::as_str)))
            }
            Budget::Crowd => from(request, self.crowd.get(key).copied().unwrap_or(Ipv4Addr::LOCALHOST)),
            Budget::One | Budget::Windows | Budget::Keys => {
                from(request, Ipv4Addr::new(10, 0, 0, u8::try_from(key).unwrap_or(u8::MAX)))
            }
        };
        (key, request)
    }
}

/// What one worker saw.
#[derive(Default)]
struct End {
    /// Each request's key and whether it was let through.
    requests: Vec<(usize, bool)>,
    lost: u64,
}

fn send(worker: &Worker, requests: Vec<(usize, Request)>, limits: u64) -> Result<End> {
    let mut end = End::default();
    for (key, request) in requests {
        let answer = worker.send(request);
        let admitted = match (answer.status(), answer.upstream().is_some()) {
            (200, true) => true,
            (429, false) => false,
            (status, reached) => bail!("status {status}, upstream reached: {reached}; {}", answer.details()),
        };
        ensure!(answer.outcome() == Outcome::Complete, "the answer is not complete");
        // Each try of a charge reads the slot once, and all but the last were lost.
        let reads = answer.report().host_calls.get("proxy_get_shared_data").copied().unwrap_or(0);
        end.lost = end.lost.saturating_add(reads.saturating_sub(limits));
        end.requests.push((key, admitted));
    }
    Ok(end)
}

/// Whether each key got what it should. Gives whether one got less because its slot was full.
fn judge(
    budget: Budget,
    before: usize,
    wanted: &BTreeMap<usize, usize>,
    given: &BTreeMap<usize, usize>,
) -> Result<bool> {
    let most = budget.each(before);
    let mut full = false;
    let mut shared = 0;
    for (key, wanted) in wanted {
        let got = given.get(key).copied().unwrap_or(0);
        ensure!(got <= most, "key {key} has {got} of {most}: more than its budget");
        let least = most.min(*wanted);
        shared += least;
        match budget {
            Budget::Crowd => full |= got < least,
            Budget::Keys => {}
            Budget::One | Budget::Windows | Budget::Subjects => {
                ensure!(got == least, "key {key} has {got}, although {least} were there for it");
            }
        }
    }
    if budget == Budget::Keys {
        let got: usize = given.values().sum();
        ensure!(got == shared.min(10), "all keys together have {got} and not {}", shared.min(10));
    }
    Ok(full)
}

fn from(request: Request, address: Ipv4Addr) -> Request {
    request.peer(SocketAddr::from((address, 50_000)))
}
