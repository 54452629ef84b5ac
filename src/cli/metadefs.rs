//! `saccade metadefs load`: metadata definitions from Glance's files (`glance-manage db load_metadefs`).

use super::{ConfigArgs, Exit, Streams, load};
use crate::{
    image::Timestamp,
    metadata::{
        MetadefStore,
        rocksdb::{Options, RocksMetadata},
    },
    metadefs::{Change, ChangeKind, Namespace, NamespaceDraft, Precedence, merge},
    server::DataDir,
};
use clap::{Args, Subcommand};
use std::{
    error::Error,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Who owns what a file gives to nobody, as in Glance.
const OWNER: &str = "admin";
/// The longest file, in bytes.
const MAX_FILE: u64 = 16 << 20;

#[derive(Debug, Args)]
pub(super) struct Metadefs {
    #[command(subcommand)]
    command: MetadefsCommand,
}

#[derive(Debug, Subcommand)]
enum MetadefsCommand {
    /// Load metadata definitions from Glance's files. The daemon must not run meanwhile.
    ///
    /// Without --merge, namespaces that exist already are left as they are.
    Load(Load),
}

#[derive(Debug, Args)]
struct Load {
    /// A directory whose *.json files are loaded, such as /etc/glance/metadefs, or one file.
    path: PathBuf,
    /// Add to namespaces that exist already what they do not have.
    #[arg(long)]
    merge: bool,
    /// With --merge: where both have a definition of the same name, take that of the file.
    #[arg(long, alias = "prefer_new", requires = "merge", conflicts_with = "overwrite")]
    prefer_new: bool,
    /// With --merge: replace namespaces that exist already, with all that is in them.
    #[arg(long, requires = "merge")]
    overwrite: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What becomes of a namespace that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Kept,
    Merged(Precedence),
    Replaced,
}

/// What became of one file.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Loaded,
    Merged,
    Replaced,
    Skipped,
}

type Failure = Box<dyn Error + Send + Sync>;

impl Metadefs {
    pub(super) fn run(self, streams: &mut Streams<'_>) -> Exit {
        let MetadefsCommand::Load(load) = self.command;
        load.run(streams)
    }
}

impl Load {
    fn existing(&self) -> Existing {
        match (self.merge, self.prefer_new, self.overwrite) {
            (false, ..) => Existing::Kept,
            (true, _, true) => Existing::Replaced,
            (true, true, false) => Existing::Merged(Precedence::New),
            (true, false, false) => Existing::Merged(Precedence::Existing),
        }
    }

    fn run(self, streams: &mut Streams<'_>) -> Exit {
        let existing = self.existing();
        let config = match load(self.config, streams) {
            Ok(loaded) => loaded.config,
            Err(exit) => return exit,
        };
        let files = match files(&self.path) {
            Ok(files) if files.is_empty() => {
                return streams.complain(&format!("saccade: no *.json files in {}", self.path.display()));
            }
            Ok(files) => files,
            Err(error) => return streams.fail(&format!("cannot read {}", self.path.display()), &error),
        };
        let data_dir = match DataDir::open(&config.node.data_dir) {
            Ok(data_dir) => data_dir,
            Err(error) => return streams.fail("cannot load metadata definitions", &error),
        };
        let store = match RocksMetadata::open(&data_dir.path().join("metadata"), Options::default()) {
            Ok(store) => store,
            Err(error) => return streams.fail("cannot load metadata definitions", &error),
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return streams.fail("cannot start the runtime", &error),
        };
        let exit = runtime.block_on(load_all(&store, &files, existing, streams));
        runtime.block_on(store.close());
        exit
    }
}

/// The files of a directory, by name.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Loads what can be loaded: a file that is none does not keep the others out, but shows in the exit code.
async fn load_all(
    store: &dyn MetadefStore,
    files: &[PathBuf],
    existing: Existing,
    streams: &mut Streams<'_>,
) -> Exit {
    let mut worst = Exit::Success;
    for file in files {
        let exit = match load_one(store, file, existing).await {
            Ok((name, outcome)) => streams.print(&match outcome {
                Outcome::Loaded => format!("{name}: loaded\n"),
                Outcome::Merged => format!("{name}: merged\n"),
                Outcome::Replaced => format!("{name}: replaced\n"),
                Outcome::Skipped => format!("{name}: exists already, left as it is (--merge)\n"),
            }),
            Err(error) => streams.fail(&format!("cannot load {}", file.display()), &*error),
        };
        if exit != Exit::Success {
            worst = exit;
        }
    }
    worst
}

async fn load_one(
    store: &dyn MetadefStore,
    file: &Path,
    existing: Existing,
) -> Result<(String, Outcome), Failure> {
    let draft = NamespaceDraft::parse_file(read(file)?)?;
    let name = draft.name.clone();
    let at = Timestamp::now();
    let (kind, outcome) = match (store.namespace(&name).await?, existing) {
        (None, _) => {
            let namespace = Box::new(Namespace::from_file(draft, OWNER, at)?);
            (ChangeKind::Create(namespace), Outcome::Loaded)
        }
        (Some(_), Existing::Kept) => return Ok((name, Outcome::Skipped)),
        (Some(current), Existing::Merged(precedence)) => {
            let namespace = Box::new(merge(&current, draft, OWNER, at, precedence));
            let expected = current.version();
            let kind = ChangeKind::Replace {
                name: name.clone(),
                expected,
                namespace,
            };
            (kind, Outcome::Merged)
        }
        (Some(current), Existing::Replaced) => {
            let kind = ChangeKind::Replace {
                name: name.clone(),
                expected: current.version(),
                namespace: Box::new(Namespace::from_file(draft, OWNER, at)?),
            };
            (kind, Outcome::Replaced)
        }
    };
    store.define(Change { at, kind }).await?;
    Ok((name, outcome))
}

fn read(file: &Path) -> Result<serde_json::Value, Failure> {
    let mut text = Vec::new();
    File::open(file)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(format!("it is longer than {} MiB", MAX_FILE >> 20).into());
    }
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests;
