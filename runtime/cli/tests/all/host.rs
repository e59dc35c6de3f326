//! A host of its own: its life, topics, events in and out.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::support::{Folder, signal};

const ORDERS: &str = "[topics.orders]\npartitions = 4\nkey = \"/customerId\"\n";

#[test]
fn a_host_tells_its_address_and_ends_in_order() {
    let mut folder = Folder::with_host(ORDERS);
    folder.write(".gristmill/address", "127.0.0.1:1\n");
    let host = folder.host(&[]);
    let address = std::fs::read_to_string(folder.path(".gristmill/address")).unwrap();
    assert_eq!(format!("http://{}", address.trim()), host.url);
    assert_eq!(folder.until("health", |ran| ran.code == Some(0)).out, "ready\n");
    let second = folder.run("run");
    assert_eq!(second.code, Some(3), "one host per data directory: {second:?}");
    assert!(folder.path(".gristmill/address").exists(), "it is the first one's");
    let (code, log) = host.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
    assert!(!folder.path(".gristmill/address").exists());
    assert_eq!(folder.run("health").code, Some(1));
}

#[test]
fn a_failpoint_kills_and_a_restart_loses_nothing() {
    let mut folder = Folder::with_host(ORDERS);
    let mut host = folder.host(&[("GRISTMILL_FAILPOINT", "synced:3")]);
    let event = "{\"customerId\":\"a\"}\n";
    let mut known = 0;
    while folder.fed("produce orders", event).code == Some(0) {
        known += 1;
    }
    let (code, log) = host.wait();
    assert_eq!(code, None, "a signal ended it");
    assert!(log.contains("failpoint: synced for time 3"), "{log}");
    let host = folder.host(&[]);
    let kept = folder.run("consume orders").done().lines().count();
    assert!(kept >= known, "{known} were told, {kept} are there");
    assert_eq!(host.stop().0, Some(0));
}

#[test]
fn topics_are_made_shown_and_deleted() {
    let mut folder = Folder::with_host(ORDERS);
    let _host = folder.host(&[]);
    let made = folder.run("topics create pay --partitions 2 --retention 2d --compacted");
    assert_eq!(made.done(), "topic pay is made, with 2 partitions\n");
    let again = folder.run("topics create pay");
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("E0212"), "{again:?}");
    let listed = folder.run("topics list");
    assert!(listed.done().starts_with("TOPIC   PARTITIONS  EVENTS  SIZE"), "{listed:?}");
    assert!(listed.out.contains("\npay              2       0   0 B         2d"), "{listed:?}");
    let described = folder.run("topics describe pay");
    assert!(described.done().contains("compacted  yes\n"), "{described:?}");
    let grown = folder.run("topics grow pay --partitions 4");
    assert_eq!((grown.code, grown.err.contains("E0428")), (Some(1), true), "{grown:?}");
    assert_eq!(folder.run("topics delete pay --yes").done(), "topic pay is deleted\n");
    let gone = folder.run("topics describe pay");
    assert_eq!(gone.code, Some(1));
    assert!(gone.err.starts_with("error[E0414]"), "{gone:?}");
}

#[test]
fn events_go_in_and_come_out() {
    let mut folder = Folder::with_host(ORDERS);
    let _host = folder.host(&[]);
    let lines =
        "{\"customerId\":\"a\",\"n\":1.10}\n\n{\"n\":2}\nnot json\n{\"customerId\":\"a\"}\n";
    let fed = folder.fed("produce orders --header tenant=acme", lines);
    assert_eq!(fed.code, Some(1));
    for told in ["line 3: [E0424]", "line 4: [E0424]", "error[E0561]: 2 of 4 events were not taken"]
    {
        assert!(fed.err.contains(told), "{fed:?}");
    }
    let batch = folder.fed("produce orders --type paid --json", lines).json();
    assert_eq!((&batch["events"], &batch["refused"]), (&2.into(), &2.into()), "{batch}");
    assert_eq!(batch["failures"][0]["line"], 3);
    let shown = folder.run("consume orders");
    let shown: Vec<&str> = shown.done().lines().collect();
    assert_eq!(shown.len(), 4);
    assert!(shown[0].ends_with(":0  a  orders  {\"customerId\":\"a\",\"n\":1.10}"), "{shown:?}");
    let paid = folder.run("consume orders --type p* --max 1 --json");
    let paid: Value = serde_json::from_str(paid.done().trim_end()).unwrap();
    assert_eq!((&paid["key"], &paid["offset"]), (&"a".into(), &2.into()), "{paid}");
    let partition = folder.run("consume orders --partition 4");
    assert_eq!((partition.code, partition.err.contains("E0415")), (Some(1), true), "{partition:?}");
    let stopped = folder.fed("produce nowhere", "{}\n{}\n");
    assert!(stopped.err.starts_with("error[E0414]: line 1: there is no topic"), "{stopped:?}");
}

#[test]
fn many_events_keep_the_order_of_their_keys() {
    let mut folder = Folder::with_host(ORDERS);
    let _host = folder.host(&[]);
    let lines: Vec<_> = (0..1_700).map(|n| format!("{{\"k\":{},\"n\":{n}}}", n % 7)).collect();
    folder.write("many", lines.join("\n"));
    let told = folder.run("produce orders --type t --json-key /k --file many");
    assert!(told.done().contains("1700 events to orders; partition "), "{told:?}");
    let out = folder.run("consume orders --json");
    let mut last = [None; 7];
    let mut count = 0;
    for line in out.done().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let (key, n) = (&event["payload"]["k"], event["payload"]["n"].as_u64());
        assert_eq!(event["key"], key.to_string());
        let last = &mut last[usize::try_from(key.as_u64().unwrap()).unwrap()];
        assert!(*last < n, "{last:?} before {n:?}");
        *last = n;
        count += 1;
    }
    assert_eq!(count, 1_700);
}

#[test]
fn an_event_is_shown_with_what_it_caused_in_all_topics() {
    let mut folder = Folder::with_host(&format!("{ORDERS}[topics.payments]\n"));
    let _host = folder.host(&[]);
    let event = |id: &str, cause: &str| {
        format!(
            "{{\"customerId\":\"a\",\"eventId\":\"{id}\",\"eventType\":\"{id}.done\",\
             \"correlationId\":\"order\"{cause}}}\n"
        )
    };
    let by = |cause: &str| format!(",\"causationId\":\"{cause}\"");
    let orders = [event("order", ""), event("other", "").replace("\"order\"", "\"else\"")];
    folder.fed("produce orders", &orders.concat()).done();
    let caused = [event("pay", &by("order")), event("paid", &by("pay"))];
    folder.fed("produce payments", &caused.concat()).done();
    folder.fed("produce orders", &event("ship", &by("order"))).done();
    let shown = folder.run("trace paid");
    let words: Vec<&str> =
        shown.done().lines().map(|line| line.split("  ").next().unwrap_or_default()).collect();
    assert_eq!(words, ["order.done", "├─ pay.done", "│", "└─ ship.done"], "{shown:?}");
    assert!(shown.out.contains("\n│  └─ paid.done  paid  payments:"), "{shown:?}");
    let told = folder.run("--json trace order").json();
    assert_eq!(told["correlation_id"], "order");
    let events = told["events"].as_array().unwrap();
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["order", "pay", "paid", "ship"]);
    assert_eq!(events[2]["causation_id"], "pay");
    let here = folder.run("trace order --topic orders").done().lines().count();
    assert_eq!(here, 2, "of one topic");
    let missing = folder.run("trace gone");
    assert_eq!((missing.code, missing.err.contains("E0570")), (Some(1), true), "{missing:?}");
    let late = folder.run("trace order --from 2100-01-01T00:00:00Z");
    assert_eq!((late.code, late.err.contains("E0570")), (Some(1), true), "{late:?}");
}

#[test]
fn following_goes_on_over_a_restart_and_ends_with_ctrl_c() {
    let mut folder = Folder::with_host(ORDERS);
    let host = folder.host(&[]);
    // The same address again, so that the reader finds the host when it is back.
    let address = host.url.trim_start_matches("http://").to_owned();
    let event = |n: u32| format!("{{\"customerId\":\"a\",\"n\":{n}}}\n");
    let mut reader = folder.start("consume orders --follow --from earliest");
    let mut out = BufReader::new(reader.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line.split("\"n\":").nth(1).unwrap_or_default().trim_end().to_owned()
    };
    folder.fed("produce orders", &event(1)).done();
    assert_eq!(next(), "1}");
    assert_eq!(host.stop().0, Some(0), "an open stream does not hold a host up");
    let config = format!("listen = \"{address}\"\nworkers = 1\n{ORDERS}");
    folder.write("gristmill.toml", config);
    let _host = folder.host(&[]);
    folder.fed("produce orders", &event(2)).done();
    assert_eq!(next(), "2}");
    signal(&reader, "INT");
    assert_eq!(reader.wait().unwrap().code(), Some(0));
}
