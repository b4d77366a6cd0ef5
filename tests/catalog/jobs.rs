//! The queue: who gets a job, and what a lost lease can no longer write.

use dashvault::catalog::{Catalog, JobLease, JobRow, NewJob};
use dashvault::model::{ClipId, JobId, JobKind, JobState, LinkId, OwnerId, TenantId};

use crate::both;

const HEAVY: [JobKind; 2] = [JobKind::Finish, JobKind::LinkMedia];
const LIGHT: [JobKind; 2] = [JobKind::EraseClip, JobKind::EraseOwner];
const LEASE_MS: i64 = 1_000;

async fn a_tenant(catalog: &Catalog) -> TenantId {
    let tenant = TenantId::random();
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_tenant(tenant, 1).await.unwrap();
    tx.commit().await.unwrap();
    tenant
}

fn a_job(tenant: TenantId, kind: JobKind, run_after: i64) -> NewJob {
    NewJob {
        id: JobId::random(),
        tenant,
        kind,
        owner: OwnerId::random(),
        clip: Some(ClipId::random()),
        link: None,
        run_after,
    }
}

async fn queue(catalog: &Catalog, job: &NewJob) {
    let mut tx = catalog.begin().await.unwrap();
    tx.queue_job(job).await.unwrap();
    tx.commit().await.unwrap();
}

async fn lease(catalog: &Catalog, kinds: [JobKind; 2], now: i64) -> Option<(JobLease, JobRow)> {
    let lease = JobId::random();
    let mut tx = catalog.begin().await.unwrap();
    let row = tx.lease_job(kinds, lease, now, now + LEASE_MS).await.unwrap();
    tx.commit().await.unwrap();
    row.map(|row| (JobLease { job: row.id, lease }, row))
}

/// What every holder's write answers.
async fn writes(catalog: &Catalog, held: JobLease, now: i64) -> [bool; 6] {
    let mut answers = [false; 6];
    for (at, answer) in answers.iter_mut().enumerate() {
        // Each alone and taken back, so that one does not change what the next sees.
        let mut tx = catalog.begin().await.unwrap();
        *answer = match at {
            0 => tx.extend_job(held, now + LEASE_MS).await,
            1 => tx.hold_job(held, now).await,
            2 => tx.step_job(held, now).await,
            3 => tx.set_job_progress(held, 500, now).await,
            4 => tx.requeue_job(held, true, now, now).await,
            _ => tx.finish_job(held, None, now).await,
        }
        .unwrap();
        tx.rollback().await.unwrap();
    }
    answers
}

#[tokio::test]
async fn a_queued_job_is_leased_once_and_reads_as_it_was_queued() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        let job = a_job(tenant, JobKind::Finish, 10);
        queue(&catalog, &job).await;
        assert_eq!(lease(&catalog, HEAVY, 9).await, None, "its time has not come");
        assert_eq!(lease(&catalog, LIGHT, 10).await, None, "it is of another kind");
        let (held, row) = lease(&catalog, HEAVY, 10).await.unwrap();
        assert_eq!(
            (row.id, row.tenant, row.owner, row.clip),
            (job.id, tenant, job.owner, job.clip)
        );
        assert_eq!(
            (row.state, row.attempts, row.lease),
            (JobState::Running, 1, Some(held.lease))
        );
        assert_eq!(row.lease_until, Some(10 + LEASE_MS));
        assert_eq!(catalog.job(job.id).await.unwrap(), Some(row));
        assert_eq!(lease(&catalog, HEAVY, 11).await, None, "it is taken");
    })
    .await;
}

#[tokio::test]
async fn the_job_that_is_due_longest_comes_first() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        let (late, early) = (a_job(tenant, JobKind::Finish, 5), a_job(tenant, JobKind::LinkMedia, 3));
        for job in [&late, &early] {
            queue(&catalog, job).await;
        }
        let order = [lease(&catalog, HEAVY, 9).await, lease(&catalog, HEAVY, 9).await];
        assert_eq!(order.map(|job| job.unwrap().1.id), [early.id, late.id]);
    })
    .await;
}

#[tokio::test]
async fn many_workers_never_share_a_job() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        for _ in 0..12 {
            queue(&catalog, &a_job(tenant, JobKind::Finish, 1)).await;
        }
        let workers = (0..6).map(|_| async {
            let mut mine = Vec::new();
            // None may mean that another worker was quicker; the queue is empty when nothing is queued any more.
            while catalog.count_jobs(JobState::Queued).await.unwrap() > 0 {
                mine.extend(lease(&catalog, HEAVY, 2).await.map(|(held, _)| held.job));
            }
            mine
        });
        let mut taken: Vec<_> = futures_util::future::join_all(workers).await.concat();
        assert_eq!(taken.len(), 12);
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 12, "a job was leased twice");
    })
    .await;
}

#[tokio::test]
async fn whoever_lost_the_lease_writes_nothing() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        queue(&catalog, &a_job(tenant, JobKind::Finish, 1)).await;
        let (first, _) = lease(&catalog, HEAVY, 1).await.unwrap();
        assert_eq!(writes(&catalog, first, 2).await, [true; 6]);
        let (second, row) = lease(&catalog, HEAVY, 1 + LEASE_MS).await.unwrap();
        assert_eq!((row.id, row.attempts), (first.job, 2));
        assert_eq!(writes(&catalog, first, 2 + LEASE_MS).await, [false; 6]);
        assert_eq!(writes(&catalog, second, 2 + LEASE_MS).await, [true; 6]);
    })
    .await;
}

#[tokio::test]
async fn an_extended_lease_is_not_taken_over() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        queue(&catalog, &a_job(tenant, JobKind::Finish, 1)).await;
        let (held, _) = lease(&catalog, HEAVY, 1).await.unwrap();
        let mut tx = catalog.begin().await.unwrap();
        assert!(tx.extend_job(held, 5_000).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(lease(&catalog, HEAVY, 4_999).await, None);
        assert!(lease(&catalog, HEAVY, 5_000).await.is_some());
    })
    .await;
}

#[tokio::test]
async fn attempts_count_from_the_last_step_and_not_for_other_causes() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        let job = a_job(tenant, JobKind::Finish, 1);
        queue(&catalog, &job).await;
        for (counted, then) in [(true, 2), (true, 3), (false, 3)] {
            let (held, _) = lease(&catalog, HEAVY, 10).await.unwrap();
            let mut tx = catalog.begin().await.unwrap();
            assert!(tx.requeue_job(held, counted, 10, 10).await.unwrap());
            tx.commit().await.unwrap();
            let (held, row) = lease(&catalog, HEAVY, 10).await.unwrap();
            assert_eq!(row.attempts, then, "counted: {counted}");
            assert_eq!(row.failures, then - 1, "counted: {counted}");
            let mut tx = catalog.begin().await.unwrap();
            assert!(tx.requeue_job(held, false, 10, 10).await.unwrap());
            tx.commit().await.unwrap();
        }
        let (held, _) = lease(&catalog, HEAVY, 10).await.unwrap();
        let mut tx = catalog.begin().await.unwrap();
        assert!(tx.step_job(held, 11).await.unwrap());
        tx.commit().await.unwrap();
        let row = catalog.job(job.id).await.unwrap().unwrap();
        assert_eq!((row.attempts, row.failures), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn an_ended_job_stays_ended_until_it_is_swept() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        let jobs = [
            a_job(tenant, JobKind::EraseClip, 1),
            a_job(tenant, JobKind::EraseClip, 2),
        ];
        for (job, code) in jobs.iter().zip([None, Some("worker_crashed")]) {
            queue(&catalog, job).await;
            let (held, _) = lease(&catalog, LIGHT, 2).await.unwrap();
            let mut tx = catalog.begin().await.unwrap();
            assert!(tx.finish_job(held, code, 7).await.unwrap());
            tx.commit().await.unwrap();
            assert_eq!(writes(&catalog, held, 8).await, [false; 6]);
        }
        assert_eq!(lease(&catalog, LIGHT, 1 << 40).await, None);
        let failed = &catalog.jobs_of_clip(jobs[1].clip.unwrap()).await.unwrap()[0];
        assert_eq!(
            (failed.state, failed.error_code.as_deref()),
            (JobState::Failed, Some("worker_crashed"))
        );
        for (before, removed) in [(7, 0), (8, 1), (8, 1), (8, 0)] {
            let mut tx = catalog.begin().await.unwrap();
            assert_eq!(
                tx.remove_ended_jobs(before, 1).await.unwrap(),
                removed,
                "before {before}"
            );
            tx.commit().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_due_job_is_seen_before_it_is_leased() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        queue(&catalog, &a_job(tenant, JobKind::Finish, 10)).await;
        let seen = async |kinds, now| catalog.has_due_job(kinds, now).await.unwrap();
        assert!(!seen(HEAVY, 9).await);
        assert!(seen(HEAVY, 10).await && !seen(LIGHT, 10).await);
        lease(&catalog, HEAVY, 10).await.unwrap();
        assert!(!seen(HEAVY, 11).await, "it is taken");
        assert!(seen(HEAVY, 10 + LEASE_MS).await, "its lease has ended");
    })
    .await;
}

#[tokio::test]
async fn an_erasure_is_queued_once_a_clip() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        let clip = Some(ClipId::random());
        let wish = |_| NewJob {
            clip,
            ..a_job(tenant, JobKind::EraseClip, 1)
        };
        queue(
            &catalog,
            &NewJob {
                clip,
                ..a_job(tenant, JobKind::Finish, 1)
            },
        )
        .await;
        let mut queued = Vec::new();
        for job in (0..3).map(wish) {
            let mut tx = catalog.begin().await.unwrap();
            queued.push(tx.queue_erasure(&job).await.unwrap());
            tx.commit().await.unwrap();
        }
        assert_eq!(queued, [true, false, false]);
        let (held, _) = lease(&catalog, LIGHT, 1).await.unwrap();
        let mut tx = catalog.begin().await.unwrap();
        assert!(!tx.queue_erasure(&wish(0)).await.unwrap(), "it runs");
        assert!(tx.finish_job(held, None, 2).await.unwrap());
        assert!(tx.queue_erasure(&wish(0)).await.unwrap());
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_job_is_taken_from_queue_and_holder_alike() {
    both(async |catalog| {
        let tenant = a_tenant(&catalog).await;
        let (clip, link) = (Some(ClipId::random()), Some(LinkId::random()));
        let erasure = NewJob {
            clip,
            ..a_job(tenant, JobKind::EraseClip, 1)
        };
        let running = NewJob {
            clip,
            ..a_job(tenant, JobKind::Finish, 1)
        };
        let queued = NewJob {
            clip,
            link,
            ..a_job(tenant, JobKind::LinkMedia, 50)
        };
        let other = NewJob {
            link: Some(LinkId::random()),
            ..a_job(tenant, JobKind::LinkMedia, 50)
        };
        for job in [&erasure, &running, &queued, &other] {
            queue(&catalog, job).await;
        }
        let (held, _) = lease(&catalog, HEAVY, 1).await.unwrap();
        assert_eq!(held.job, running.id);
        assert_eq!(catalog.link_progress(link.unwrap()).await.unwrap(), Some(0));
        let mut tx = catalog.begin().await.unwrap();
        assert_eq!(tx.cancel_jobs_of_link(link.unwrap(), 2).await.unwrap(), 1);
        assert_eq!(tx.cancel_jobs_of_clip(clip.unwrap(), erasure.id, 2).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(catalog.link_progress(link.unwrap()).await.unwrap(), None);
        assert_eq!(writes(&catalog, held, 2).await, [false; 6]);
        assert_eq!(
            lease(&catalog, HEAVY, 50).await.unwrap().1.id,
            other.id,
            "nothing else is left"
        );
        assert_eq!(lease(&catalog, LIGHT, 50).await.unwrap().1.id, erasure.id);
    })
    .await;
}
