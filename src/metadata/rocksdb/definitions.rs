//! Metadata definitions: reads, and what a change to them adds to a commit group.

use std::collections::{HashMap, HashSet};

use ::rocksdb::{DB, DBRawIteratorWithThreadMode, Snapshot, WriteBatch};
use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{
    RocksMetadata, keys,
    open::{Reach, read_error, read_options},
    record::definition,
    writer::Message,
};
use crate::{
    metadata::{DefineError, MetadataError, MetadataErrorKind, MetadefStore, definitions::in_order},
    metadefs::{Change, Head, Namespace, NamespacePage, NamespaceQuery, ResourceType},
};

pub(super) type Answer = Result<Option<Namespace>, DefineError>;

pub(super) struct Request {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Answer>,
}

#[async_trait]
impl MetadefStore for RocksMetadata {
    async fn define(&self, change: Change) -> Answer {
        let (reply, answer) = oneshot::channel();
        let queue = self.0.queue.as_ref().ok_or(MetadataErrorKind::Unavailable)?;
        let message = Message::Define(Request { change, reply });
        let sent = queue.send(message).await;
        sent.map_err(|_| MetadataErrorKind::Unavailable)?;
        // A writer that went away without an answer may have written before.
        answer
            .await
            .unwrap_or_else(|_| Err(MetadataErrorKind::OutcomeUnknown.into()))
    }

    async fn namespace(&self, name: &str) -> Result<Option<Namespace>, MetadataError> {
        let name = name.to_owned();
        self.read(move |db| read(db, &name)).await
    }

    async fn namespaces(&self, query: NamespaceQuery) -> Result<NamespacePage, MetadataError> {
        self.read(move |db| {
            let snapshot = db.snapshot();
            query.page(Table::new(&snapshot, keys::NAMESPACES, head))
        })
        .await
    }

    async fn resource_types(&self) -> Result<Vec<ResourceType>, MetadataError> {
        self.read(|db| {
            let snapshot = db.snapshot();
            let types = Table::new(&snapshot, keys::RESOURCE_TYPES, resource_type);
            types.collect::<Result<_, _>>().map(in_order)
        })
        .await
    }
}

fn corrupt(error: definition::CorruptDefinition) -> MetadataError {
    MetadataError::caused_by(MetadataErrorKind::Corrupt, error)
}

fn read(db: &DB, name: &str) -> Result<Option<Namespace>, MetadataError> {
    let bytes = db.get_pinned_opt(keys::namespace(name), &read_options(Reach::Disk));
    let bytes = bytes.map_err(read_error)?;
    let namespace = bytes.map(|bytes| definition::decode(name, &bytes));
    namespace.transpose().map_err(corrupt)
}

fn head(name: &str, value: &[u8]) -> Result<Head, MetadataError> {
    definition::decode_head(name, value).map_err(corrupt)
}

fn resource_type(name: &str, value: &[u8]) -> Result<ResourceType, MetadataError> {
    definition::decode_resource_type(name, value).map_err(corrupt)
}

/// The records of a table, in the order of their names.
struct Table<'db, T> {
    iterator: DBRawIteratorWithThreadMode<'db, DB>,
    decode: fn(&str, &[u8]) -> Result<T, MetadataError>,
}

impl<'db, T> Table<'db, T> {
    fn new(
        snapshot: &'db Snapshot<'_>,
        table: &'static [u8],
        decode: fn(&str, &[u8]) -> Result<T, MetadataError>,
    ) -> Self {
        let mut options = read_options(Reach::Disk);
        options.set_iterate_upper_bound(keys::end_of(table));
        let mut iterator = snapshot.raw_iterator_opt(options);
        iterator.seek(table);
        Self { iterator, decode }
    }
}

impl<T> Iterator for Table<'_, T> {
    type Item = Result<T, MetadataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some((key, value)) = self.iterator.item() else {
            return self.iterator.status().map_err(read_error).err().map(Err);
        };
        let record = match keys::name(key) {
            Some(name) => (self.decode)(name, value),
            None => Err(MetadataError::new(MetadataErrorKind::Corrupt)),
        };
        self.iterator.next();
        Some(record)
    }
}

/// What a commit group leaves of definitions.
#[derive(Default)]
pub(super) struct Pending {
    namespaces: HashMap<String, Option<Namespace>>,
    resource_types: HashSet<String>,
}

impl Pending {
    /// Applies the change to what the group so far leaves. One that is refused leaves the group as it was.
    pub(super) fn add(&mut self, db: &DB, batch: &mut WriteBatch, change: Change) -> Answer {
        let name = change.name().to_owned();
        let new_name = change.new_name().map(str::to_owned);
        let current = self.look(db, &name)?;
        let other = match &new_name {
            Some(new_name) => self.look(db, new_name)?,
            None => None,
        };
        let at = change.at;
        let next = change.apply(current.as_ref(), other.as_ref())?;
        let Some(next) = next else {
            batch.delete(keys::namespace(&name));
            self.namespaces.insert(name, None);
            return Ok(None);
        };
        let unavailable = |error| MetadataError::caused_by(MetadataErrorKind::Unavailable, error);
        let record = definition::encode(&next).map_err(unavailable)?;
        let mut new_types = Vec::new();
        for association in &next.head.associations {
            let name = &association.name;
            if !self.resource_types.contains(name) && !is_known(db, name)? {
                new_types.push(name.clone());
            }
        }
        let type_record = definition::encode_resource_type(at).map_err(unavailable)?;
        // Nothing fails from here on: the group holds all of the change.
        for name in new_types {
            batch.put(keys::resource_type(&name), &type_record);
            self.resource_types.insert(name);
        }
        if new_name.is_some() {
            batch.delete(keys::namespace(&name));
            self.namespaces.insert(name, None);
        }
        batch.put(keys::namespace(&next.head.name), record);
        self.namespaces.insert(next.head.name.clone(), Some(next.clone()));
        Ok(Some(next))
    }

    fn look(&self, db: &DB, name: &str) -> Result<Option<Namespace>, MetadataError> {
        match self.namespaces.get(name) {
            Some(namespace) => Ok(namespace.clone()),
            None => read(db, name),
        }
    }
}

fn is_known(db: &DB, resource_type: &str) -> Result<bool, MetadataError> {
    let found = db.get_pinned_opt(keys::resource_type(resource_type), &read_options(Reach::Disk));
    Ok(found.map_err(read_error)?.is_some())
}
