//! Tells what a lane does: runs, waits, is parked, is given up on.

use expect_test::expect;

use super::check;

#[test]
fn an_event_is_read_run_and_made_durable_with_its_progress() {
    check(
        "append orders ann
         append orders bob
         start
         read
         orders@1 succeeds
         orders@0 succeeds
         commit
         show",
        &expect![[r#"
            append orders ann
            append orders bob
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
                run orders@1, attempt 1, by version 1
            orders@1 succeeds
                settle orders@1 as succeeded in checkpoint 2
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 2
                commit checkpoint 2, orders below 2
            commit
            show
                orders: finished below 2
                payments: finished below 0
                state of ann: orders@0
                state of bob: orders@1
        "#]],
    );
}

#[test]
fn a_failed_attempt_is_made_again_and_its_lane_waits() {
    check(
        "policy delay 100ms
         append orders ann
         append orders ann
         start
         read
         orders@0 fails
         wait 99ms
         wait 1ms
         orders@0 succeeds
         orders@1 succeeds
         commit
         show",
        &expect![[r#"
            policy delay 100ms
            append orders ann
            append orders ann
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 fails
            wait 99ms
            wait 1ms
              at 100 ms:
                run orders@0, attempt 2, by version 1
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 2
                run orders@1, attempt 1, by version 1
            orders@1 succeeds
                settle orders@1 as succeeded in checkpoint 2
                commit checkpoint 2, orders below 2
            commit
            show
                orders: finished below 2
                payments: finished below 0
                state of ann: orders@0, orders@1
        "#]],
    );
}

#[test]
fn a_parked_lane_lets_other_keys_and_progress_overtake_it() {
    check(
        "policy inline 1, delay 100ms
         append orders ann
         append orders bob
         append orders ann
         start
         read
         orders@0 fails
         orders@1 succeeds
         commit
         show
         wait 100ms
         orders@0 succeeds
         orders@2 succeeds
         commit
         show",
        &expect![[r#"
            policy inline 1, delay 100ms
            append orders ann
            append orders bob
            append orders ann
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
                run orders@1, attempt 1, by version 1
            orders@0 fails
                park orders@0 at 0, 1 attempts, due at 100 ms in checkpoint 2
                park orders@2 at 1, 0 attempts, due now in checkpoint 2
            orders@1 succeeds
                settle orders@1 as succeeded in checkpoint 2
                commit checkpoint 2, orders below 3
            commit
            show
                orders: finished below 3
                payments: finished below 0
                state of bob: orders@1
                parked for ann at 0: orders@0, 1 attempts, due at 100 ms
                parked for ann at 1: orders@2, 0 attempts, due now
            wait 100ms
              at 100 ms:
                run orders@0 from parking, attempt 2, by version 1
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 3
                run orders@2 from parking, attempt 1, by version 1
            orders@2 succeeds
                settle orders@2 as succeeded in checkpoint 3
                commit checkpoint 3
            commit
            show
                orders: finished below 3
                payments: finished below 0
                state of ann: orders@0, orders@2
                state of bob: orders@1
        "#]],
    );
}

#[test]
fn twins_under_two_keys_have_one_effect() {
    check(
        "append orders ann id 7
         append orders bob id 7
         append orders bob
         start
         read
         orders@0 succeeds
         orders@2 succeeds
         commit
         show",
        &expect![[r#"
            append orders ann id 7
            append orders bob id 7
            append orders bob
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 2
                settle orders@1 as duplicate in checkpoint 2
                run orders@2, attempt 1, by version 1
            orders@2 succeeds
                settle orders@2 as succeeded in checkpoint 2
                commit checkpoint 2, orders below 3
            commit
            show
                orders: finished below 3
                payments: finished below 0
                state of ann: orders@0
                state of bob: orders@2
        "#]],
    );
}

#[test]
fn a_dead_letter_releases_its_lane() {
    check(
        "policy attempts 2, delay 10ms
         append orders ann
         append orders ann
         start
         read
         orders@0 fails
         wait 10ms
         orders@0 fails
         orders@1 is rejected
         commit
         show",
        &expect![[r#"
            policy attempts 2, delay 10ms
            append orders ann
            append orders ann
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 fails
            wait 10ms
              at 10 ms:
                run orders@0, attempt 2, by version 1
            orders@0 fails
                settle orders@0 as dead letter (retryable, 2 attempts) in checkpoint 2
                run orders@1, attempt 1, by version 1
            orders@1 is rejected
                settle orders@1 as dead letter (rejected, 1 attempts) in checkpoint 2
                commit checkpoint 2, orders below 2
            commit
            show
                orders: finished below 2
                payments: finished below 0
                dead letter orders@0: retryable after 2 attempts
                dead letter orders@1: rejected after 1 attempts
        "#]],
    );
}

#[test]
fn a_dead_letter_may_block_its_lane_until_an_operator_resumes() {
    check(
        "policy attempts 1, on-dead block
         append orders ann
         append orders ann
         start
         read
         orders@0 fails
         commit
         show
         resume
         orders@1 succeeds
         commit
         show",
        &expect![[r#"
            policy attempts 1, on-dead block
            append orders ann
            append orders ann
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 fails
                settle orders@0 as dead letter (retryable, 1 attempts) in checkpoint 2
                park orders@1 at 0, 0 attempts, due when an operator resumes in checkpoint 2
                commit checkpoint 2, orders below 2
            commit
            show
                orders: finished below 2
                payments: finished below 0
                parked for ann at 0: orders@1, 0 attempts, due when an operator resumes
                dead letter orders@0: retryable after 1 attempts
            resume
                store 0 attempts of orders@1, due now in checkpoint 3
                run orders@1 from parking, attempt 1, by version 1
            orders@1 succeeds
                settle orders@1 as succeeded in checkpoint 3
                commit checkpoint 3
            commit
            show
                orders: finished below 2
                payments: finished below 0
                state of ann: orders@1
                dead letter orders@0: retryable after 1 attempts
        "#]],
    );
}
