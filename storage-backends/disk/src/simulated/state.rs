//! What is on the disk, as running programs see it and as a power cut leaves it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Weak},
};

use super::Fault;
use crate::{Space, Stat, WriteMode};

/// The one device there is, in [`Stat::identity`].
const DEVICE: u64 = 1;
/// Files live in memory: a length beyond this is a mistake in a test.
const LARGEST_FILE: u64 = 1 << 30;

/// Names a node for ever, unlike its inode number.
pub(super) type NodeId = u64;
pub(super) const ROOT: NodeId = 0;

#[derive(Debug)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) calls: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) off: bool,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) links_refused: Option<i32>,
    pub(super) space: Space,
    pub(super) read_only: bool,
    pub(super) modes_refused: Vec<WriteMode>,
    /// Each write of pieces: its mode, and how many bytes it had.
    pub(super) written: Vec<(WriteMode, u64)>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) inode: u64,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Directory(Directory),
    File(FileState),
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) names: BTreeMap<OsString, NodeId>,
    pub(super) durable: BTreeMap<OsString, NodeId>,
    /// What was done to `durable` to make it `names`, in order. Each is on the disk or not as a whole.
    pub(super) pending: Vec<Change>,
}

/// Names set to a node, or to nothing, at once.
pub(super) type Change = Vec<(OsString, Option<NodeId>)>;

#[derive(Debug, Default)]
pub(super) struct FileState {
    pub(super) bytes: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// A sync has failed: the dirty bytes are taken for clean, and no later sync saves them.
    pub(super) sync_failed: bool,
    /// While it can be upgraded, somebody has the file open.
    pub(super) opened: Weak<()>,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Open {
    node: NodeId,
    _keeps_inode: Arc<()>,
}

impl Default for State {
    fn default() -> Self {
        let root = Node {
            inode: 1,
            kind: Kind::Directory(Directory::default()),
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            calls: 0,
            crash_at: None,
            off: false,
            faults: BTreeMap::new(),
            links_refused: None,
            space: Space {
                total: 1 << 40,
                free: 1 << 40,
            },
            read_only: false,
            modes_refused: Vec::new(),
            written: Vec::new(),
        }
    }
}

impl State {
    /// Counts a changing call; says which fault is due at it.
    pub(super) fn count(&mut self) -> io::Result<Option<Fault>> {
        if self.crash_at.is_some_and(|at| self.calls >= at) {
            self.off = true;
        }
        self.alive()?;
        self.calls = self.calls.saturating_add(1);
        Ok(self.faults.remove(&self.calls))
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.off {
            Err(io::Error::other("the simulated machine has lost its power"))
        } else {
            Ok(())
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Open> {
        let (parent, name) = self.parent(path)?;
        if self.directory_of(parent)?.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = self.add(Kind::File(FileState::default()));
        self.apply(parent, vec![(name, Some(node))])?;
        self.handle(node)
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        if self.directory_of(parent)?.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = self.add(Kind::Directory(Directory::default()));
        self.apply(parent, vec![(name, Some(node))])
    }

    pub(super) fn open(&mut self, path: &Path) -> io::Result<Open> {
        let node = self.find(path)?;
        self.handle(node)
    }

    pub(super) fn stat(&self, path: &Path) -> io::Result<Stat> {
        let node = self.node(self.find(path)?)?;
        Ok(match &node.kind {
            Kind::File(file) => Stat {
                identity: (DEVICE, node.inode),
                len: length(&file.bytes),
                is_file: true,
            },
            Kind::Directory(_) => Stat {
                identity: (DEVICE, node.inode),
                len: 0,
                is_file: false,
            },
        })
    }

    pub(super) fn link(&mut self, existing: &Path, new: &Path) -> io::Result<()> {
        if let Some(errno) = self.links_refused {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let node = self.find(existing)?;
        self.file(node)?;
        let (parent, name) = self.parent(new)?;
        if self.directory_of(parent)?.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.apply(parent, vec![(name, Some(node))])
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (source, old) = self.parent(from)?;
        let (target, new) = self.parent(to)?;
        if self.directory_of(target)?.names.get(&new) == Some(&node) {
            // POSIX: two names of one file stay as they are.
            return Ok(());
        }
        if source == target {
            self.apply(source, vec![(new, Some(node)), (old, None)])
        } else {
            self.apply(target, vec![(new, Some(node))])?;
            self.apply(source, vec![(old, None)])
        }
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        self.file(node)?;
        let (parent, name) = self.parent(path)?;
        self.apply(parent, vec![(name, None)])
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let node = self.find(path)?;
        let directory = self.directory_of_mut(node)?;
        directory.durable.clone_from(&directory.names);
        directory.pending.clear();
        Ok(())
    }

    pub(super) fn write(&mut self, open: &Open, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let start = position(offset)?;
        let end = start
            .checked_add(bytes.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        position(length_of(end))?;
        let content = &mut self.file_mut(open.node)?.bytes;
        if content.len() < end {
            content.resize(end, 0);
        }
        if let Some(place) = content.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    pub(super) fn read(&self, open: &Open, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = position(offset)?;
        let rest = self.file(open.node)?.bytes.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }

    pub(super) fn set_len(&mut self, open: &Open, len: u64) -> io::Result<()> {
        let len = position(len)?;
        self.file_mut(open.node)?.bytes.resize(len, 0);
        Ok(())
    }

    pub(super) fn size(&self, open: &Open) -> io::Result<u64> {
        Ok(length(&self.file(open.node)?.bytes))
    }

    pub(super) fn bytes(&self, open: &Open) -> io::Result<Vec<u8>> {
        Ok(self.file(open.node)?.bytes.clone())
    }

    pub(super) fn sync_data(&mut self, open: &Open) -> io::Result<()> {
        let file = self.file_mut(open.node)?;
        if !file.sync_failed {
            file.durable.clone_from(&file.bytes);
        }
        Ok(())
    }

    pub(super) fn lose_sync(&mut self, open: &Open) -> io::Result<()> {
        self.file_mut(open.node)?.sync_failed = true;
        Ok(())
    }

    pub(super) fn plant(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut directory = PathBuf::from("/");
        for name in names(path.parent().unwrap_or(Path::new("/")))? {
            let parent = self.find(&directory)?;
            directory.push(name);
            if self.find(&directory).is_err() {
                let node = self.add(Kind::Directory(Directory::default()));
                self.set_durably(parent, name, node)?;
            }
        }
        let node = self.add(Kind::File(FileState {
            bytes: bytes.to_vec(),
            durable: bytes.to_vec(),
            ..FileState::default()
        }));
        let (parent, name) = self.parent(path)?;
        self.set_durably(parent, &name, node)
    }

    pub(super) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut left = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, node)) = left.pop() {
            match self.nodes.get(&node).map(|node| &node.kind) {
                Some(Kind::Directory(directory)) => {
                    left.extend(
                        directory
                            .names
                            .iter()
                            .map(|(name, node)| (path.join(name), *node)),
                    );
                }
                Some(Kind::File(file)) => found.push((path, file.bytes.clone())),
                None => (),
            }
        }
        found.sort();
        found
    }

    /// The directory at a path.
    pub(super) fn directory(&self, path: &Path) -> io::Result<&Directory> {
        self.directory_of(self.find(path)?)
    }

    fn set_durably(&mut self, parent: NodeId, name: &OsStr, node: NodeId) -> io::Result<()> {
        let directory = self.directory_of_mut(parent)?;
        directory.names.insert(name.to_owned(), node);
        directory.durable.insert(name.to_owned(), node);
        Ok(())
    }

    fn handle(&mut self, node: NodeId) -> io::Result<Open> {
        let file = self.file_mut(node)?;
        let token = file.opened.upgrade().unwrap_or_default();
        file.opened = Arc::downgrade(&token);
        Ok(Open {
            node,
            _keeps_inode: token,
        })
    }

    /// Adds a node under the lowest inode number that no named or open file has.
    fn add(&mut self, kind: Kind) -> NodeId {
        let named: BTreeSet<NodeId> = self
            .nodes
            .values()
            .filter_map(|node| match &node.kind {
                Kind::Directory(directory) => Some(directory.names.values().copied()),
                Kind::File(_) => None,
            })
            .flatten()
            .chain([ROOT])
            .collect();
        let used: BTreeSet<u64> = self
            .nodes
            .iter()
            .filter(|(id, node)| {
                let open = matches!(&node.kind, Kind::File(file) if file.opened.strong_count() > 0);
                open || named.contains(id)
            })
            .map(|(_, node)| node.inode)
            .collect();
        let inode = (1..).find(|inode| !used.contains(inode)).unwrap_or_default();
        let id = self
            .nodes
            .last_key_value()
            .map_or(ROOT, |(last, _)| last.saturating_add(1));
        self.nodes.insert(id, Node { inode, kind });
        id
    }

    fn apply(&mut self, directory: NodeId, change: Change) -> io::Result<()> {
        let directory = self.directory_of_mut(directory)?;
        set_names(&mut directory.names, &change);
        directory.pending.push(change);
        Ok(())
    }

    fn parent(&self, path: &Path) -> io::Result<(NodeId, OsString)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.find(path.parent().unwrap_or(Path::new("/")))?;
        self.directory_of(parent)?;
        Ok((parent, name.to_owned()))
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut at = ROOT;
        for name in names(path)? {
            let directory = self.directory_of(at)?;
            at = *directory.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    fn node(&self, node: NodeId) -> io::Result<&Node> {
        self.nodes
            .get(&node)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn directory_of(&self, node: NodeId) -> io::Result<&Directory> {
        match &self.node(node)?.kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn directory_of_mut(&mut self, node: NodeId) -> io::Result<&mut Directory> {
        match self.nodes.get_mut(&node).map(|node| &mut node.kind) {
            Some(Kind::Directory(directory)) => Ok(directory),
            Some(Kind::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn file(&self, node: NodeId) -> io::Result<&FileState> {
        match &self.node(node)?.kind {
            Kind::File(file) => Ok(file),
            Kind::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn file_mut(&mut self, node: NodeId) -> io::Result<&mut FileState> {
        match self.nodes.get_mut(&node).map(|node| &mut node.kind) {
            Some(Kind::File(file)) => Ok(file),
            Some(Kind::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Makes one change of names.
pub(super) fn set_names(names: &mut BTreeMap<OsString, NodeId>, change: &Change) {
    for (name, node) in change {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    path.components()
        .filter(|component| !matches!(component, Component::RootDir))
        .map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        })
        .collect()
}

fn position(offset: u64) -> io::Result<usize> {
    if offset > LARGEST_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

fn length(bytes: &[u8]) -> u64 {
    length_of(bytes.len())
}

fn length_of(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
