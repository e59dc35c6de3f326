//! Keeps the cashiers of each tenant and tells of their changes.

use billing_events::{
    Cashier, CashierEvent, DeleteCashier, DescribeCashier, VERSION, reply, topic,
};
use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, reject};
use serde::Serialize;

/// Name of the cashier in its key's state.
const CASHIER: &str = "cashier";

gristmill_plugin::export!(handle);

/// Handles one command.
///
/// # Errors
///
/// Rejects what is no such command (`payload`, `unknown-type`), one for a cashier that is not there
/// (`no-such-cashier`), and another cashier under the same id (`cashier-exists`).
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        "CreateCashier" => create(event.json()?, host),
        "UpdateCashier" => update(event.json()?, host),
        "DeleteCashier" => delete(&event.json()?, host),
        other => Err(reject("unknown-type", format!("{other} is no command for a cashier"))),
    }
}

fn create(command: DescribeCashier, host: &mut Host) -> Outcome {
    let (tenant_id, new) = described(command, 1);
    if let Some(kept) = host.state().get_json::<Cashier>(CASHIER)? {
        if (&kept.name, &kept.email) != (&new.name, &new.email) {
            let reason = format!("cashier {} is another one already", kept.cashier_id);
            return Err(reject("cashier-exists", reason));
        }
        host.emit(reply("Cashier", 200, &kept)?)?;
        return Ok(());
    }
    host.emit(reply("Cashier", 201, &new)?)?;
    host.state().set_json(CASHIER, &new)?;
    tell("CashierCreated", &CashierEvent { tenant_id, cashier: new }, host)
}

fn update(command: DescribeCashier, host: &mut Host) -> Outcome {
    let kept = kept(&command.cashier_id, host)?;
    let (tenant_id, cashier) = described(command, kept.version.saturating_add(1));
    host.emit(reply("Cashier", 200, &cashier)?)?;
    host.state().set_json(CASHIER, &cashier)?;
    tell("CashierUpdated", &CashierEvent { tenant_id, cashier }, host)
}

fn delete(command: &DeleteCashier, host: &mut Host) -> Outcome {
    let kept = kept(&command.cashier_id, host)?;
    host.emit(reply("Cashier", 200, &kept)?)?;
    host.state().delete(CASHIER)?;
    tell("CashierDeleted", command, host)
}

fn kept(cashier_id: &str, host: &mut Host) -> Result<Cashier, Failure> {
    let kept = host.state().get_json(CASHIER)?;
    kept.ok_or_else(|| reject("no-such-cashier", format!("there is no cashier {cashier_id}")))
}

/// The tenant, and the cashier as a command describes it.
fn described(command: DescribeCashier, version: u32) -> (String, Cashier) {
    let DescribeCashier { tenant_id, cashier_id, name, email, currencies } = command;
    (tenant_id, Cashier { cashier_id, name, email, currencies, version })
}

fn tell<T: Serialize>(event_type: &str, data: &T, host: &mut Host) -> Outcome {
    host.emit(Emission::json(topic::CASHIER, event_type, data)?.version(VERSION))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    fn command(event_type: &str, name: &str) -> Event {
        let data = format!(
            r#"{{"tenantId":"acme","cashierId":"c-1","name":"{name}","email":"{name}@acme.test"}}"#
        );
        event("CashierCommand", data).with_type(event_type).with_key("acme:c-1")
    }

    #[test]
    fn a_cashier_comes_changes_and_goes() {
        let mut host = TestHost::new();
        for (event_type, name) in [
            ("CreateCashier", "ada"),
            ("CreateCashier", "ada"),
            ("UpdateCashier", "ada l"),
            ("DeleteCashier", "ada l"),
            ("CreateCashier", "grace"),
        ] {
            host.handle(handle, &command(event_type, name)).unwrap();
        }
        let told = host.emissions().iter().filter(|it| it.topic == topic::CASHIER);
        let told: Vec<&str> = told.map(|it| &*it.event_type).collect();
        assert_eq!(told, ["CashierCreated", "CashierUpdated", "CashierDeleted", "CashierCreated"]);
        let cashier: Cashier = host.state_json("acme:c-1", CASHIER).unwrap();
        assert_eq!((&*cashier.name, cashier.version), ("grace", 1));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut host = TestHost::new();
        let mut refused = |event_type: &str, name: &str| {
            let failure = host.handle(handle, &command(event_type, name)).unwrap_err();
            failure.code().unwrap_or_default().to_owned()
        };
        assert_eq!(refused("UpdateCashier", "ada"), "no-such-cashier");
        assert_eq!(refused("DeleteCashier", "ada"), "no-such-cashier");
        assert_eq!(refused("HireCashier", "ada"), "unknown-type");
        host.handle(handle, &command("CreateCashier", "ada")).unwrap();
        let other = host.handle(handle, &command("CreateCashier", "bob")).unwrap_err();
        assert_eq!(other.code(), Some("cashier-exists"));
    }
}
