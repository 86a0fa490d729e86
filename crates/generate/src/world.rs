//! Who and what exists: clients with their addresses, partitions with their services and modules, keys with their lives.
//!
//! Everything that lasts longer than one slice is settled here, before any record is made: when a partition opens, when it
//! is wiped, when a key is born and destroyed. Slices only look it up, so that each can be made without the others.

use crate::clock::SECOND;
use crate::dice::{Dice, Purpose, Zipf};
use crate::options::GenerateOptions;

/// A client, with a share of the traffic that falls with its number.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) index: usize,
    pub(crate) id: String,
    pub(crate) addresses: Vec<usize>,
    pub(crate) partitions: Vec<usize>,
    /// Chance of a wrong credential at a login, in parts of a million.
    pub(crate) wrong_credential: u32,
}

/// A client address.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) index: usize,
    pub(crate) text: String,
}

/// A partition, which is one service instance.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) index: usize,
    pub(crate) serial: String,
    pub(crate) source: String,
    pub(crate) resource: String,
    pub(crate) tenant: String,
    pub(crate) modules: [String; 2],
    keys: usize,
    /// Ordinary traffic starts here.
    pub(crate) opens: i64,
    /// From here on the second half of its keys is used; `i64::MAX` for never.
    pub(crate) wiped: i64,
}

/// A key of one partition.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) index: usize,
    pub(crate) partition: usize,
    pub(crate) ouid: String,
    pub(crate) ouid_upper: String,
    /// Made in the span of the log, or `i64::MIN` for before.
    pub(crate) born: i64,
    /// Destroyed in the span of the log, or `i64::MAX` for later.
    pub(crate) dies: i64,
}

/// How a planned destruction comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoundKind {
    WipedByLogins,
    Zeroized,
    Refused,
    InitialisedAnew,
}

/// A planned destruction.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) kind: RoundKind,
    pub(crate) partition: usize,
    pub(crate) at: i64,
}

/// The CipherTrust side.
#[derive(Debug)]
pub(crate) struct CipherTrust {
    pub(crate) resource: String,
    pub(crate) tenant: String,
    pub(crate) users: Vec<String>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) actors: Vec<Actor>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) keys: Vec<Key>,
    pub(crate) rounds: Vec<Round>,
    pub(crate) cipher_trust: CipherTrust,
    actor_ranks: Zipf,
    key_ranks: Zipf,
}

static NO_ACTOR: Actor =
    Actor { index: 0, id: String::new(), addresses: Vec::new(), partitions: Vec::new(), wrong_credential: 0 };
static NO_ADDRESS: Address = Address { index: 0, text: String::new() };
static NO_PARTITION: Partition = Partition {
    index: 0,
    serial: String::new(),
    source: String::new(),
    resource: String::new(),
    tenant: String::new(),
    modules: [String::new(), String::new()],
    keys: 0,
    opens: i64::MIN,
    wiped: i64::MAX,
};

impl World {
    pub(crate) fn new(options: &GenerateOptions, from: i64, to: i64) -> Self {
        let mut dice = Dice::new(options.seed, Purpose::World, 0);
        let partition_count = options.partitions as usize;
        let key_count = options.keys as usize;
        let mut partitions = make_partitions(&mut dice, partition_count, key_count, from, to);
        let rounds = make_rounds(&mut dice, options.zeroize_rounds as usize, &mut partitions, from, to);
        let keys = make_keys(&mut dice, key_count, &partitions, from, to);
        let (actors, addresses) = make_actors(&mut dice, options.clients as usize, partition_count);
        let cipher_trust = CipherTrust {
            resource: uuid(&mut dice),
            tenant: partitions.first().map(|partition| partition.tenant.clone()).unwrap_or_default(),
            users: (0..actors.len() / 4 + 1).map(|_| uuid(&mut dice)).collect(),
        };
        Self {
            actor_ranks: Zipf::new(actors.len()),
            key_ranks: Zipf::new(key_count.div_ceil(partition_count.max(1))),
            actors,
            addresses,
            partitions,
            keys,
            rounds,
            cipher_trust,
        }
    }

    pub(crate) fn actor(&self, index: usize) -> &Actor {
        self.actors.get(index).unwrap_or(&NO_ACTOR)
    }

    pub(crate) fn partition(&self, index: usize) -> &Partition {
        self.partitions.get(index).unwrap_or(&NO_PARTITION)
    }

    pub(crate) fn address(&self, index: usize) -> &Address {
        self.addresses.get(index).unwrap_or(&NO_ADDRESS)
    }

    pub(crate) fn any_actor(&self, dice: &mut Dice) -> &Actor {
        self.actor(self.actor_ranks.draw(dice, self.actors.len()))
    }

    pub(crate) fn address_of(&self, actor: &Actor, dice: &mut Dice) -> &Address {
        self.address(dice.one(&actor.addresses, 0))
    }

    /// The partition a client turns to: one of its own that is open, else the first of all, which always is.
    pub(crate) fn partition_of(&self, actor: &Actor, time: i64, dice: &mut Dice) -> &Partition {
        let partition = self.partition(dice.one(&actor.partitions, 0));
        if time >= partition.opens { partition } else { self.partition(0) }
    }

    /// A key of a partition that can be used at a time.
    pub(crate) fn key_of(&self, partition: &Partition, time: i64, dice: &mut Dice) -> Option<&Key> {
        let (start, len) = partition.key_range(time);
        let rank = self.key_ranks.draw(dice, len);
        let key = self.keys.get(self.key_index(partition, start + rank))?;
        if (key.born..key.dies).contains(&time) {
            return Some(key);
        }
        self.keys.get(self.key_index(partition, start))
    }

    /// A little used key of a partition, for creation and destruction in passing.
    pub(crate) fn rare_key_of(&self, partition: &Partition, time: i64, dice: &mut Dice) -> Option<&Key> {
        let (start, len) = partition.key_range(time);
        let rank = len - 1 - dice.below_len(len.div_ceil(8));
        self.keys.get(self.key_index(partition, start + rank))
    }

    fn key_index(&self, partition: &Partition, rank: usize) -> usize {
        partition.index + rank * self.partitions.len()
    }
}

impl Partition {
    /// Keys of the first life: all of them where the partition is never wiped.
    fn first_life(&self) -> usize {
        if self.wiped == i64::MAX || self.keys < 2 { self.keys } else { self.keys / 2 }
    }

    /// First rank and number of the keys in use at a time; never empty.
    fn key_range(&self, time: i64) -> (usize, usize) {
        let first = self.first_life();
        if time < self.wiped || first == self.keys { (0, first.max(1)) } else { (first, self.keys - first) }
    }
}

fn make_partitions(dice: &mut Dice, count: usize, keys: usize, from: i64, to: i64) -> Vec<Partition> {
    let tenants: Vec<String> = (0..count / 8 + 1).map(|_| uuid(dice)).collect();
    let modules: Vec<String> =
        (0..count as u64 / 2 + 2).map(|index| format!("{}", 500_000 + index * 617 + dice.below(600))).collect();
    (0..count)
        .map(|index| {
            let serial = (1_269_000_000_000 + index as u64 * 7_919_113 + dice.below(1_000_000)).to_string();
            // Every fourth partition is set up while the log runs.
            let late = index % 4 == 3;
            let opens = if late { moment_between(dice, from, to, 10, 60) } else { i64::MIN };
            Partition {
                index,
                source: format!("thales/cloudhsm/{serial}"),
                serial,
                resource: uuid(dice),
                tenant: tenants.get(index / 8).cloned().unwrap_or_default(),
                modules: [
                    modules.get(index / 2).cloned().unwrap_or_default(),
                    modules.get(index / 2 + 1).cloned().unwrap_or_default(),
                ],
                keys: keys / count + usize::from(index < keys % count),
                opens,
                wiped: i64::MAX,
            }
        })
        .collect()
}

/// Plans destructions for all partitions but the first, taking turns.
fn make_rounds(dice: &mut Dice, count: usize, partitions: &mut [Partition], from: i64, to: i64) -> Vec<Round> {
    let kinds = [RoundKind::WipedByLogins, RoundKind::Zeroized, RoundKind::Refused, RoundKind::InitialisedAnew];
    let victims = partitions.len().saturating_sub(1);
    (0..count)
        .map(|number| {
            let kind = kinds.get(number % 4).copied().unwrap_or(RoundKind::Refused);
            let index = if victims == 0 { 0 } else { 1 + number % victims };
            let at = moment_between(dice, from, to, 65, 95);
            if let Some(victim) = partitions.get_mut(index)
                && kind != RoundKind::Refused
            {
                victim.wiped = victim.wiped.min(at);
            }
            Round { kind, partition: index, at }
        })
        .collect()
}

fn make_keys(dice: &mut Dice, count: usize, partitions: &[Partition], from: i64, to: i64) -> Vec<Key> {
    (0..count)
        .map(|index| {
            let partition = index % partitions.len().max(1);
            let rank = index / partitions.len().max(1);
            let ouid = format!("{:02x}000005{index:08x}{:04x}0800", dice.below(256), dice.below(65_536));
            // The first key of each life of a partition is always there, so that there is one to fall back on.
            let steady = partitions.get(partition).is_none_or(|home| rank == 0 || rank == home.first_life());
            let fate = dice.below(100);
            let moment = moment_between(dice, from, to, 2, 98);
            Key {
                index,
                partition,
                ouid_upper: ouid.to_uppercase(),
                ouid,
                born: if !steady && fate < 10 { moment } else { i64::MIN },
                dies: if !steady && fate >= 95 { moment } else { i64::MAX },
            }
        })
        .collect()
}

fn make_actors(dice: &mut Dice, count: usize, partitions: usize) -> (Vec<Actor>, Vec<Address>) {
    let mut addresses: Vec<Address> = Vec::new();
    let actors = (0..count)
        .map(|index| {
            let mut own = Vec::new();
            for number in 0..=dice.below(3) {
                // Some share the egress address of another client.
                if number > 0 && dice.chance(200_000) {
                    own.push(dice.below_len(addresses.len()));
                } else {
                    own.push(addresses.len());
                    addresses.push(Address { index: addresses.len(), text: address_text(dice, addresses.len()) });
                }
            }
            let homes = (0..=dice.below(3)).map(|_| dice.below_len(partitions)).collect();
            // A third never mistypes; one in twenty keeps doing so.
            let wrong_credential = match index {
                _ if index % 3 == 0 => 0,
                _ if index % 20 == 7 => 150_000,
                _ => 12_000,
            };
            Actor { index, id: uuid(dice), addresses: own, partitions: homes, wrong_credential }
        })
        .collect();
    (actors, addresses)
}

/// A different address for every index, one in six of them IPv6.
fn address_text(dice: &mut Dice, index: usize) -> String {
    if index % 6 == 5 {
        return format!("2001:db8:{:x}::{:x}", index + 1, 1 + dice.below(0xfffe));
    }
    format!("{}.{}.{}.{}", 11 + index / 65_536 % 200, index / 256 % 256, index % 256, 1 + dice.below(254))
}

/// A whole second between two percentages of a span.
fn moment_between(dice: &mut Dice, from: i64, to: i64, low: i64, high: i64) -> i64 {
    let seconds = (to - from) / SECOND;
    let offset = dice.between((seconds * low / 100) as u64, (seconds * high / 100) as u64);
    from + SECOND * offset as i64
}

/// A random UUID, version 4.
fn uuid(dice: &mut Dice) -> String {
    let (high, low) = (dice.word(), dice.word());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}
