//! Tasks: kept, replaced, forgotten, read.

use std::sync::Arc;

use super::Subject;
use crate::{
    image::{AttemptId, ImageId, NodeId, Task, TaskId, TaskKind, TaskStatus, Timestamp},
    metadata::TaskStore,
};

fn task(id: u8, image: u8) -> Task {
    let at = Timestamp::now();
    Task {
        id: TaskId::from_bytes([id; 16]),
        kind: TaskKind::ApiImageImport,
        status: TaskStatus::Processing,
        owner: Some("project".into()),
        user_id: "user".into(),
        request_id: "req-1".into(),
        image_id: ImageId::from_bytes([image; 16]),
        input: "{}".into(),
        message: String::new(),
        node: NodeId::from_bytes([1; 16]),
        attempt: AttemptId::from_bytes([id; 16]),
        created_at: at,
        updated_at: at,
        expires_at: None,
    }
}

async fn ids(store: &Arc<dyn TaskStore>, image: Option<u8>) -> Vec<u8> {
    let image = image.map(|image| ImageId::from_bytes([image; 16]));
    let tasks = store.tasks(image).await.unwrap();
    tasks.iter().map(|task| task.id.as_bytes()[0]).collect()
}

pub(super) async fn a_kept_task_is_there_at_once_through_every_handle(subject: &Subject) {
    let (first, second) = ((subject.tasks)(), (subject.tasks)());
    let kinds = [
        TaskKind::ApiImageImport,
        TaskKind::Import,
        TaskKind::LocationImport,
    ];
    let statuses = [
        TaskStatus::Pending,
        TaskStatus::Processing,
        TaskStatus::Success,
        TaskStatus::Failure,
    ];
    let mut number = 0;
    for kind in kinds {
        for status in statuses {
            number += 1;
            let kept = Task {
                kind,
                status,
                owner: (number % 2 == 0).then(|| "ü\0".to_owned()),
                input: "\u{1F4BE}".repeat(16 << 10),
                message: "why\nnot".into(),
                expires_at: (number % 3 == 0).then_some(Timestamp::LAST),
                ..task(number, 9)
            };
            first.keep_task(kept.clone()).await.unwrap();
            assert_eq!(second.task(kept.id).await.unwrap().as_ref(), Some(&kept));
            assert!(second.tasks(None).await.unwrap().contains(&kept));
        }
    }
}

pub(super) async fn a_task_that_is_kept_again_takes_the_place_of_what_was_kept(subject: &Subject) {
    let store = (subject.tasks)();
    let begun = task(1, 1);
    store.keep_task(begun.clone()).await.unwrap();
    let now = Timestamp::now();
    let ended = begun.ended(TaskStatus::Failure, "why".into(), now, now);
    store.keep_task(ended.clone()).await.unwrap();
    assert_eq!(store.task(ended.id).await.unwrap(), Some(ended.clone()));
    assert_eq!(store.tasks(None).await.unwrap(), [ended]);
}

pub(super) async fn a_forgotten_task_is_gone_and_no_other(subject: &Subject) {
    let store = (subject.tasks)();
    for number in 1..=4 {
        store.keep_task(task(number, 1)).await.unwrap();
    }
    let id = |number| TaskId::from_bytes([number; 16]);
    store
        .forget_tasks(vec![id(2), id(4), id(77), id(2)])
        .await
        .unwrap();
    assert_eq!(ids(&store, None).await, [1, 3]);
    assert_eq!(store.task(id(2)).await.unwrap(), None);
    store.forget_tasks(vec![id(2)]).await.unwrap();
    store.forget_tasks(Vec::new()).await.unwrap();
    assert_eq!(ids(&store, None).await, [1, 3]);
    // Its id may be used again.
    store.keep_task(task(2, 1)).await.unwrap();
    assert_eq!(ids(&store, None).await, [1, 2, 3]);
}

pub(super) async fn tasks_come_by_their_ids_all_or_those_of_one_image(subject: &Subject) {
    let store = (subject.tasks)();
    assert_eq!(ids(&store, None).await, [0; 0]);
    for (number, image) in [(200, 1), (3, 2), (0, 1), (255, 2), (7, 1)] {
        store.keep_task(task(number, image)).await.unwrap();
    }
    assert_eq!(ids(&store, None).await, [0, 3, 7, 200, 255]);
    assert_eq!(ids(&store, Some(1)).await, [0, 7, 200]);
    assert_eq!(ids(&store, Some(2)).await, [3, 255]);
    assert_eq!(ids(&store, Some(3)).await, [0; 0]);
}

pub(super) async fn tasks_that_are_forgotten_at_once_go_at_once(subject: &Subject) {
    let (store, reader) = ((subject.tasks)(), (subject.tasks)());
    for _ in 0..20 {
        for number in 0..20 {
            store.keep_task(task(number, 1)).await.unwrap();
        }
        let all = (0..20).map(|number| TaskId::from_bytes([number; 16])).collect();
        let forgetting = tokio::spawn({
            let store = store.clone();
            async move { store.forget_tasks(all).await.unwrap() }
        });
        loop {
            let count = ids(&reader, None).await.len();
            assert!([0, 20].contains(&count), "{count} of 20");
            if count == 0 {
                break;
            }
        }
        forgetting.await.unwrap();
    }
}

pub(super) async fn a_task_whose_keeper_was_dropped_is_kept_or_not_but_whole(subject: &Subject) {
    let store = (subject.tasks)();
    for number in 0..50 {
        let kept = Task {
            input: "x".repeat(1000),
            ..task(number, 1)
        };
        let keeping = store.keep_task(kept.clone());
        let _ = tokio::time::timeout(std::time::Duration::from_micros(u64::from(number)), keeping).await;
        let found = store.task(kept.id).await.unwrap();
        assert!(found.is_none_or(|found| found == kept));
    }
    // What comes afterwards is not disturbed.
    store.keep_task(task(99, 2)).await.unwrap();
    assert_eq!(ids(&store, Some(2)).await, [99]);
}
