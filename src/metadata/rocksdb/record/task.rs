//! What is stored of a task: a byte that says which version, then the record in that version's form.

use serde::{Deserialize, Serialize};

use super::CorruptRecord;
use crate::image::{AttemptId, ImageId, NodeId, Task, TaskId, TaskKind, TaskStatus, Timestamp};

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    id: [u8; 16],
    kind: u8,
    status: u8,
    owner: Option<&'a str>,
    user_id: &'a str,
    request_id: &'a str,
    image_id: [u8; 16],
    input: &'a str,
    message: &'a str,
    node: [u8; 16],
    attempt: [u8; 16],
    created_at: u64,
    updated_at: u64,
    expires_at: Option<u64>,
}

/// The bytes that are stored for a task.
///
/// # Errors
/// None that a complete task can cause.
pub(in crate::metadata::rocksdb) fn encode(task: &Task) -> Result<Vec<u8>, postcard::Error> {
    let record = Record {
        id: *task.id.as_bytes(),
        kind: match task.kind {
            TaskKind::ApiImageImport => 0,
            TaskKind::Import => 1,
            TaskKind::LocationImport => 2,
        },
        status: match task.status {
            TaskStatus::Pending => 0,
            TaskStatus::Processing => 1,
            TaskStatus::Success => 2,
            TaskStatus::Failure => 3,
        },
        owner: task.owner.as_deref(),
        user_id: &task.user_id,
        request_id: &task.request_id,
        image_id: *task.image_id.as_bytes(),
        input: &task.input,
        message: &task.message,
        node: task.node.as_uuid().into_bytes(),
        attempt: task.attempt.as_uuid().into_bytes(),
        created_at: task.created_at.as_micros(),
        updated_at: task.updated_at.as_micros(),
        expires_at: task.expires_at.map(Timestamp::as_micros),
    };
    postcard::to_extend(&record, vec![VERSION])
}

/// The task that is stored so. Total, in memory that is bounded by a multiple of the bytes.
pub(in crate::metadata::rocksdb) fn decode(bytes: &[u8]) -> Result<Task, CorruptRecord> {
    let bytes = match bytes.split_first() {
        None => return Err(CorruptRecord::Empty),
        Some((&VERSION, bytes)) => bytes,
        Some((version, _)) => return Err(CorruptRecord::Version(*version)),
    };
    let (record, rest): (Record<'_>, _) = postcard::take_from_bytes(bytes).map_err(CorruptRecord::Form)?;
    if !rest.is_empty() {
        return Err(CorruptRecord::Trailing(rest.len()));
    }
    Ok(Task {
        id: TaskId::from_bytes(record.id),
        kind: match record.kind {
            0 => TaskKind::ApiImageImport,
            1 => TaskKind::Import,
            2 => TaskKind::LocationImport,
            code => return Err(CorruptRecord::Code(code, "kind of a task")),
        },
        status: match record.status {
            0 => TaskStatus::Pending,
            1 => TaskStatus::Processing,
            2 => TaskStatus::Success,
            3 => TaskStatus::Failure,
            code => return Err(CorruptRecord::Code(code, "status of a task")),
        },
        owner: record.owner.map(str::to_owned),
        user_id: record.user_id.to_owned(),
        request_id: record.request_id.to_owned(),
        image_id: ImageId::from_bytes(record.image_id),
        input: record.input.to_owned(),
        message: record.message.to_owned(),
        node: NodeId::from_bytes(record.node),
        attempt: AttemptId::from_bytes(record.attempt),
        created_at: Timestamp::from_micros(record.created_at),
        updated_at: Timestamp::from_micros(record.updated_at),
        expires_at: record.expires_at.map(Timestamp::from_micros),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        Task {
            id: TaskId::from_bytes([1; 16]),
            kind: TaskKind::ApiImageImport,
            status: TaskStatus::Failure,
            owner: Some("us".to_owned()),
            user_id: "me".to_owned(),
            request_id: "req-1".to_owned(),
            image_id: ImageId::from_bytes([2; 16]),
            input: "{}".to_owned(),
            message: "no".to_owned(),
            node: NodeId::from_bytes([3; 16]),
            attempt: AttemptId::from_bytes([4; 16]),
            created_at: Timestamp::from_micros(1),
            updated_at: Timestamp::from_micros(2),
            expires_at: Some(Timestamp::from_micros(3)),
        }
    }

    #[test]
    fn a_task_comes_back_as_it_was() {
        assert_eq!(decode(&encode(&task()).unwrap()).unwrap(), task());
    }

    #[test]
    fn the_form_is_that_of_every_release() {
        let expected = [
            [1; 1].as_slice(),
            &[1; 16],
            &[0, 3, 1, 2, b'u', b's', 2, b'm', b'e', 5],
            b"req-1",
            &[2; 16],
            &[2, b'{', b'}', 2, b'n', b'o'],
            &[3; 16],
            &[4; 16],
            &[1, 2, 1, 3],
        ];
        assert_eq!(encode(&task()).unwrap(), expected.concat());
    }

    #[test]
    fn other_bytes_are_no_task() {
        let whole = encode(&task()).unwrap();
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(decode(&[whole.as_slice(), &[0]].concat()).is_err());
        assert!(matches!(decode(&[2]), Err(CorruptRecord::Version(2))));
        let mut other = whole;
        other[18] = 9;
        assert!(matches!(decode(&other), Err(CorruptRecord::Code(9, _))));
    }
}
