//! What a power cut leaves.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Loss,
    state::{Directory, FileState, Kind, Node, NodeId, ROOT, State, set_names},
};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// The state that the next start finds.
pub(super) fn restart(before: &State, loss: Loss) -> State {
    let mut dice = match loss {
        Loss::Seeded(seed) => Some(Dice(seed)),
        Loss::Everything | Loss::Nothing => None,
    };
    let mut nodes: BTreeMap<NodeId, Node> = BTreeMap::new();
    for (id, node) in &before.nodes {
        let kind = match &node.kind {
            Kind::Directory(directory) => Kind::Directory(surviving_names(directory, loss, dice.as_mut())),
            Kind::File(file) => Kind::File(surviving_bytes(file, loss, dice.as_mut())),
        };
        let inode = node.inode;
        nodes.insert(*id, Node { inode, kind });
    }
    forget_the_unreachable(&mut nodes);
    State {
        nodes,
        space: before.space,
        read_only: before.read_only,
        modes_refused: before.modes_refused.clone(),
        links_refused: before.links_refused,
        ..State::default()
    }
}

fn surviving_names(directory: &Directory, loss: Loss, mut dice: Option<&mut Dice>) -> Directory {
    let mut names = directory.durable.clone();
    for change in &directory.pending {
        let kept = match (&mut dice, loss) {
            (Some(dice), _) => dice.roll(2) == 0,
            (None, loss) => loss == Loss::Nothing,
        };
        if kept {
            set_names(&mut names, change);
        }
    }
    Directory {
        durable: names.clone(),
        names,
        pending: Vec::new(),
    }
}

fn surviving_bytes(file: &FileState, loss: Loss, dice: Option<&mut Dice>) -> FileState {
    let bytes = match (dice, loss) {
        _ if file.bytes == file.durable => file.bytes.clone(),
        (None, Loss::Nothing) if !file.sync_failed => file.bytes.clone(),
        (None, _) => file.durable.clone(),
        (Some(dice), _) => match dice.roll(4) {
            0 => file.bytes.clone(),
            1 => file.durable.clone(),
            2 => {
                let mut bytes = file.durable.clone();
                bytes.truncate(file.bytes.len());
                bytes.resize(file.bytes.len(), 0);
                bytes
            }
            _ => torn(file, dice),
        },
    };
    FileState {
        durable: bytes.clone(),
        bytes,
        ..FileState::default()
    }
}

/// A mixture by sector of the new bytes, the old ones and zeroes, of any length from the old to the new.
fn torn(file: &FileState, dice: &mut Dice) -> Vec<u8> {
    let shorter = file.bytes.len().min(file.durable.len());
    let longer = file.bytes.len().max(file.durable.len());
    let len = shorter + dice.up_to(longer - shorter);
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let start = bytes.len();
        let end = len.min(start + SECTOR);
        let from: &[u8] = match dice.roll(3) {
            0 => &file.bytes,
            1 => &file.durable,
            _ => &[],
        };
        let there = from.get(start..end.min(from.len())).unwrap_or_default();
        bytes.extend_from_slice(there);
        bytes.resize(end, 0);
    }
    bytes
}

/// Drops what no name leads to, and gives a new inode number where two survivors have the same.
fn forget_the_unreachable(nodes: &mut BTreeMap<NodeId, Node>) {
    let mut reachable = BTreeSet::new();
    let mut left = vec![ROOT];
    while let Some(node) = left.pop() {
        if reachable.insert(node)
            && let Some(Kind::Directory(directory)) = nodes.get(&node).map(|node| &node.kind)
        {
            left.extend(directory.names.values());
        }
    }
    nodes.retain(|id, _| reachable.contains(id));
    let mut used = BTreeSet::new();
    for node in nodes.values_mut() {
        if !used.insert(node.inode) {
            node.inode = used.last().map_or(1, |last| last.saturating_add(1));
            used.insert(node.inode);
        }
    }
}

/// SplitMix64: small, and the same everywhere for ever, which a generator from a library does not promise.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.next().checked_rem(sides).unwrap_or_default()
    }

    /// A number from 0 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        let sides = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        usize::try_from(self.roll(sides)).unwrap_or_default()
    }
}
