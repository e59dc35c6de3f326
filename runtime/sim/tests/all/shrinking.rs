//! Proves that a history that broke a promise is made smaller and stays broken.

use gristmill_sim::history;
use gristmill_sim::planted::Planted;
use gristmill_sim::world::Options;

#[test]
fn a_broken_history_is_made_smaller_and_breaks_the_same_promise() {
    for planted in [Planted::RecordSwallowed, Planted::OffsetsAhead] {
        let options = Options { planted: Some(planted), ..Options::default() };
        let seed = (0..50).find(|seed| history::probe(*seed, options).is_err()).unwrap();
        let promise = history::probe(seed, options).unwrap_err().checker;
        let (shrunk, journal) = history::shrink(seed, options).unwrap();
        let [before, after] = shrunk.sizes;
        assert_eq!(shrunk.failure.checker, promise, "{planted:?}");
        assert!(
            after.0 + after.1 < usize::midpoint(before.0, before.1),
            "{before:?} became {after:?}"
        );
        assert!(!journal.is_empty(), "nothing led to it");
    }
}

#[test]
fn what_keeps_its_promises_is_not_shrunk() {
    assert!(history::shrink(0, Options::default()).is_none());
}
