//! Counting: each record adds to a tally when it is made; tallies of several workers add up to the answers.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::clock::{Moment, rfc3339};
use crate::codes::{Action, Status};
use crate::expected::{KeyUsage, LoginFailures, ZeroizeEvent, ZeroizeKind};
use crate::record::{Body, Deed, Record};
use crate::render;
use crate::world::World;

/// First and last of some times.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extent(Option<(i64, i64)>);

impl Extent {
    pub(crate) fn add(&mut self, time: i64) {
        let (first, last) = self.0.unwrap_or((time, time));
        self.0 = Some((first.min(time), last.max(time)));
    }

    fn merge(&mut self, other: Self) {
        if let Some((first, last)) = other.0 {
            self.add(first);
            self.add(last);
        }
    }

    pub(crate) fn first(self) -> Option<String> {
        self.0.map(|(first, _)| rfc3339(first))
    }

    pub(crate) fn last(self) -> Option<String> {
        self.0.map(|(_, last)| rfc3339(last))
    }
}

#[derive(Debug, Clone, Default)]
struct KeyTally {
    operations: u64,
    uses: u64,
    failed: u64,
    actors: HashSet<usize>,
    addresses: HashSet<usize>,
    seen: Extent,
}

#[derive(Debug, Clone, Default)]
struct LoginTally {
    failures: u64,
    lockouts: u64,
    attempts: u64,
    addresses: HashSet<usize>,
    failure_addresses: HashSet<usize>,
    failed: Extent,
}

/// Year and month, action, status.
type Code = (u32, &'static str, &'static str);

/// Counts of stored records.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) twins: u64,
    pub(crate) cipher_trust: u64,
    pub(crate) seen: Extent,
    codes: HashMap<Code, u64>,
    keys: Vec<KeyTally>,
    logins: Vec<LoginTally>,
    /// First record of each partition that is not an initialisation.
    in_use: Vec<i64>,
    destructions: Vec<ZeroizeEvent>,
    /// Successful initialisations, with the number of their partition.
    initialisations: Vec<(i64, usize, ZeroizeEvent)>,
}

impl Tally {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            keys: vec![KeyTally::default(); world.keys.len()],
            logins: vec![LoginTally::default(); world.actors.len()],
            in_use: vec![i64::MAX; world.partitions.len()],
            ..Self::default()
        }
    }

    /// Counts a stored record.
    pub(crate) fn add(&mut self, record: &Record<'_>) {
        self.records += 1;
        self.twins += u64::from(record.twin);
        self.seen.add(record.time);
        let moment = Moment::of(record.time);
        let code = (moment.year * 100 + moment.month, render::action(record), render::status(record));
        *self.codes.entry(code).or_default() += 1;
        match &record.body {
            Body::Cipher(_) => self.cipher_trust += 1,
            Body::Hsm(deed) => self.add_deed(record.time, deed),
        }
    }

    fn add_deed(&mut self, time: i64, deed: &Deed<'_>) {
        self.add_key(time, deed);
        if deed.action == Action::Login {
            self.add_login(time, deed);
        }
        if deed.action != Action::PartitionInit
            && let Some(first) = self.in_use.get_mut(deed.partition.index)
        {
            *first = time.min(*first);
        }
        match deed.action {
            Action::PartitionZeroize if deed.status == Status::Ok => self.destroyed(time, deed, ZeroizeKind::Zeroize),
            Action::PartitionZeroize => self.destroyed(time, deed, ZeroizeKind::ZeroizeAttempt),
            Action::PartitionInit if deed.status == Status::Ok => {
                let event = zeroize_event(time, deed, ZeroizeKind::Reinitialised);
                self.initialisations.push((time, deed.partition.index, event));
            }
            _ => {}
        }
        if deed.status.wipes() {
            self.destroyed(time, deed, ZeroizeKind::WipedByLoginFailures);
        }
    }

    fn destroyed(&mut self, time: i64, deed: &Deed<'_>, kind: ZeroizeKind) {
        self.destructions.push(zeroize_event(time, deed, kind));
    }

    fn add_key(&mut self, time: i64, deed: &Deed<'_>) {
        let Some(tally) = deed.target.key().and_then(|key| self.keys.get_mut(key.index)) else {
            return;
        };
        let ok = deed.status == Status::Ok;
        tally.operations += 1;
        tally.uses += u64::from(ok && deed.action.completes_use());
        tally.failed += u64::from(!ok);
        tally.actors.insert(deed.actor.index);
        tally.addresses.extend(deed.address.map(|address| address.index));
        tally.seen.add(time);
    }

    fn add_login(&mut self, time: i64, deed: &Deed<'_>) {
        let Some(tally) = self.logins.get_mut(deed.actor.index) else {
            return;
        };
        tally.attempts += 1;
        tally.addresses.extend(deed.address.map(|address| address.index));
        if deed.status.fails_login() {
            tally.failures += 1;
            tally.lockouts += u64::from(deed.status.locks());
            tally.failure_addresses.extend(deed.address.map(|address| address.index));
            tally.failed.add(time);
        }
    }

    /// Adds what another worker counted.
    pub(crate) fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.twins += other.twins;
        self.cipher_trust += other.cipher_trust;
        self.seen.merge(other.seen);
        for (code, count) in other.codes {
            *self.codes.entry(code).or_default() += count;
        }
        for (mine, theirs) in self.keys.iter_mut().zip(other.keys) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.logins.iter_mut().zip(other.logins) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.in_use.iter_mut().zip(other.in_use) {
            *mine = theirs.min(*mine);
        }
        self.destructions.extend(other.destructions);
        self.initialisations.extend(other.initialisations);
    }

    /// Counts by month, action and status, each as text.
    pub(crate) fn codes(&self) -> impl Iterator<Item = (String, &'static str, &'static str, u64)> {
        self.codes.iter().map(|(&(month, action, status), &count)| {
            (format!("{:04}-{:02}", month / 100, month % 100), action, status, count)
        })
    }

    pub(crate) fn key_usage(&self, world: &World) -> BTreeMap<String, KeyUsage> {
        let used = world.keys.iter().zip(&self.keys).filter(|(_, tally)| tally.operations > 0);
        used.map(|(key, tally)| {
            let usage = KeyUsage {
                operations: tally.operations,
                uses: tally.uses,
                failed: tally.failed,
                actors: tally.actors.len() as u64,
                client_ips: tally.addresses.len() as u64,
                first_seen: tally.seen.first().unwrap_or_default(),
                last_seen: tally.seen.last().unwrap_or_default(),
            };
            (key.ouid.clone(), usage)
        })
        .collect()
    }

    pub(crate) fn login_failures(&self, world: &World) -> BTreeMap<String, LoginFailures> {
        let failing = world.actors.iter().zip(&self.logins).filter(|(_, tally)| tally.failures > 0);
        failing
            .map(|(actor, tally)| {
                let failures = LoginFailures {
                    failures: tally.failures,
                    lockouts: tally.lockouts,
                    attempts: tally.attempts,
                    client_ips: tally.addresses.len() as u64,
                    failure_client_ips: tally.failure_addresses.len() as u64,
                    first_failure: tally.failed.first().unwrap_or_default(),
                    last_failure: tally.failed.last().unwrap_or_default(),
                };
                (actor.id.clone(), failures)
            })
            .collect()
    }

    /// Destructions in order; an initialisation counts where its partition had been used before.
    pub(crate) fn zeroize_events(self) -> Vec<ZeroizeEvent> {
        let in_use = self.in_use;
        let anew = self
            .initialisations
            .into_iter()
            .filter(|(time, partition, _)| in_use.get(*partition).is_some_and(|first| first < time));
        let mut events = self.destructions;
        events.extend(anew.map(|(_, _, event)| event));
        events.sort();
        events
    }
}

impl KeyTally {
    fn merge(&mut self, other: Self) {
        self.operations += other.operations;
        self.uses += other.uses;
        self.failed += other.failed;
        self.actors.extend(other.actors);
        self.addresses.extend(other.addresses);
        self.seen.merge(other.seen);
    }
}

impl LoginTally {
    fn merge(&mut self, other: Self) {
        self.failures += other.failures;
        self.lockouts += other.lockouts;
        self.attempts += other.attempts;
        self.addresses.extend(other.addresses);
        self.failure_addresses.extend(other.failure_addresses);
        self.failed.merge(other.failed);
    }
}

fn zeroize_event(time: i64, deed: &Deed<'_>, kind: ZeroizeKind) -> ZeroizeEvent {
    ZeroizeEvent {
        time: rfc3339(time),
        kind,
        partition_id: deed.partition.serial.clone(),
        resource_id: deed.partition.resource.clone(),
        actor_id: deed.actor.id.clone(),
        client_ip: deed.address.map(|address| address.text.clone()),
        role: deed.role.name().to_owned(),
        action: deed.action.name().to_owned(),
        status: deed.status.name().to_owned(),
    }
}
