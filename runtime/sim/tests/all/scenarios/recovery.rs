//! Tells what becomes of work when time passes, checkpoints fail and processes die.

use expect_test::expect;

use super::check;

#[test]
fn an_overdue_timer_waits_for_the_backlog() {
    check(
        "policy stateful
         append orders ann
         start
         read
         orders@0 succeeds, sets expiry 500ms
         commit
         the process dies
         wait 1s
         append payments ann
         start
         wait 1s
         read
         payments@0 succeeds, cancels expiry
         commit
         show",
        &expect![[r#"
            policy stateful
            append orders ann
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 succeeds, sets expiry 500ms
                settle orders@0 as succeeded in checkpoint 2
                commit checkpoint 2, orders below 1
            commit
            the process dies
            wait 1s
            append payments ann
            start
                read orders from 1
                read payments from 0
            wait 1s
            read
                run payments@0, attempt 1, by version 1
            payments@0 succeeds, cancels expiry
                settle payments@0 as succeeded in checkpoint 1
                commit checkpoint 1, payments below 1
            commit
            show
                orders: finished below 1
                payments: finished below 1
                state of ann: orders@0, payments@0
        "#]],
    );
}

#[test]
fn a_timer_fires_when_due_and_never_before() {
    check(
        "policy stateful
         append orders ann
         start
         read
         orders@0 succeeds, sets reminder 500ms
         commit
         wait 499ms
         wait 1ms
         reminder succeeds
         commit
         show",
        &expect![[r#"
            policy stateful
            append orders ann
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 succeeds, sets reminder 500ms
                settle orders@0 as succeeded in checkpoint 2
                commit checkpoint 2, orders below 1
            commit
            wait 499ms
            wait 1ms
              at 500 ms:
                run reminder, attempt 1, by version 1
            reminder succeeds
                settle reminder as succeeded in checkpoint 3
                commit checkpoint 3
            commit
            show
                orders: finished below 1
                payments: finished below 0
                state of ann: orders@0, reminder
        "#]],
    );
}

#[test]
fn an_aborted_checkpoint_is_undone_with_all_that_was_built_on_it() {
    check(
        "append orders ann
         append orders ann
         start
         read
         orders@0 succeeds
         wait 100ms
         orders@1 succeeds
         commit aborts
         show
         assign
         read
         orders@0 succeeds
         orders@1 succeeds
         commit
         show",
        &expect![[r#"
            append orders ann
            append orders ann
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 2
                run orders@1, attempt 1, by version 1
            wait 100ms
              at 100 ms:
                commit checkpoint 2, orders below 1
            orders@1 succeeds
                settle orders@1 as succeeded in checkpoint 3
            commit aborts
                rewind
            show
                orders: finished below 0
                payments: finished below 0
            assign
                read orders from 0
                read payments from 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 3
                run orders@1, attempt 1, by version 1
            orders@1 succeeds
                settle orders@1 as succeeded in checkpoint 3
                commit checkpoint 3, orders below 2
            commit
            show
                orders: finished below 2
                payments: finished below 0
                state of ann: orders@0, orders@1
        "#]],
    );
}

#[test]
fn an_upgrade_takes_over_at_a_checkpoint() {
    check(
        "append orders ann
         append orders ann
         append orders bob
         start
         read
         upgrade 2
         orders@0 succeeds
         orders@2 succeeds
         commit
         orders@1 succeeds
         commit
         the process dies
         append orders ann
         start
         read",
        &expect![[r#"
            append orders ann
            append orders ann
            append orders bob
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
                run orders@2, attempt 1, by version 1
            upgrade 2
                record version 2 in checkpoint 2
                commit checkpoint 2
                version 2 takes over
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 3
                run orders@1, attempt 1, by version 2
            orders@2 succeeds
                settle orders@2 as succeeded in checkpoint 3
            commit
            orders@1 succeeds
                settle orders@1 as succeeded in checkpoint 3
                commit checkpoint 3, orders below 3
            commit
            the process dies
            append orders ann
            start
                read orders from 3
                read payments from 0
            read
                run orders@3, attempt 1, by version 2
        "#]],
    );
}

#[test]
fn a_crash_before_the_commit_repeats_the_event() {
    check(
        "append orders ann
         start
         read
         orders@0 succeeds
         the process dies
         show
         start
         read
         orders@0 succeeds
         commit
         show",
        &expect![[r#"
            append orders ann
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 2
                commit checkpoint 2, orders below 1
            the process dies
            show
                orders: finished below 0
                payments: finished below 0
            start
                read orders from 0
                read payments from 0
            read
                run orders@0, attempt 1, by version 1
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 1
                commit checkpoint 1, orders below 1
            commit
            show
                orders: finished below 1
                payments: finished below 0
                state of ann: orders@0
        "#]],
    );
}

#[test]
fn a_crash_after_the_commit_repeats_nothing() {
    check(
        "append orders ann
         append orders bob
         start
         read 1
         orders@0 succeeds
         commit, then the process dies
         show
         start
         read",
        &expect![[r#"
            append orders ann
            append orders bob
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read 1
                run orders@0, attempt 1, by version 1
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 2
                commit checkpoint 2, orders below 1
            commit, then the process dies
            show
                orders: finished below 1
                payments: finished below 0
                state of ann: orders@0
            start
                read orders from 1
                read payments from 0
            read
                run orders@1, attempt 1, by version 1
        "#]],
    );
}

#[test]
fn a_revoked_partition_is_free_when_its_work_is_durable() {
    check(
        "append orders ann
         append orders ann
         start
         read
         revoke
         orders@0 succeeds
         commit
         show",
        &expect![[r#"
            append orders ann
            append orders ann
            start
                read orders from 0
                read payments from 0
                commit checkpoint 1, orders below 0, payments below 0
            read
                run orders@0, attempt 1, by version 1
            revoke
            orders@0 succeeds
                settle orders@0 as succeeded in checkpoint 2
                commit checkpoint 2, orders below 1
            commit
                the partition is free
            show
                orders: finished below 1
                payments: finished below 0
                state of ann: orders@0
        "#]],
    );
}
