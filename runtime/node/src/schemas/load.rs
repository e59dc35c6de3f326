//! Reads the schemas that files hold, and says what is wrong with them: by themselves, and with
//! each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gristmill_config::{HostConfig, Problem, Problems, RegistryConfig, SchemaSource};
use gristmill_schema::{Kind, Registry, RegistrySettings, Schema};

use super::known::Known;
use super::{Rule, Schemas, Source};

/// Code of a file that holds no schema.
const NO_SCHEMA: &str = "E0126";
/// Code of a schema that cannot follow the one before it.
const MISFIT: &str = "E0127";

/// The schemas of a host, as far as files hold them.
///
/// # Errors
///
/// Every file that holds none.
pub(crate) fn load(config: &HostConfig) -> Result<Schemas, Problems> {
    let mut problems = Problems::default();
    let files = files(config, &mut problems);
    if problems.has_errors() {
        return Err(problems);
    }
    let registry = match &config.schemas.registry {
        Some(registry) => Some(connect(registry).map_err(|it| Problems::from_iter([it]))?),
        None => None,
    };
    let rules = config.schemas.named.iter().filter_map(|(name, schema)| {
        let source = match &schema.source {
            SchemaSource::File(_) => Source::File(Arc::clone(files.get(name)?)),
            SchemaSource::Subject(subject) => Source::Subject(subject.clone()),
        };
        Some(Rule {
            name: name.clone(),
            topics: schema.topics.clone(),
            types: schema.types.clone(),
            versions: schema.versions.clone(),
            is_framed: schema.framed,
            source,
        })
    });
    Ok(Schemas { rules: rules.collect(), known: registry.map(Known::new) })
}

/// Everything wrong with schemas in files, and with how they follow each other. Those of a registry
/// are held against each other by the registry.
pub fn check(config: &HostConfig) -> Problems {
    let mut problems = Problems::default();
    let files = files(config, &mut problems);
    for (name, schema) in &config.schemas.named {
        let Some(follows) = &schema.follows else { continue };
        let (Some(own), Some(before)) = (files.get(name), files.get(follows)) else { continue };
        let wanted = schema.compatibility;
        for (_, reader, writer, what) in [
            (wanted.is_backward(), own, before, "it cannot read what the one before wrote"),
            (wanted.is_forward(), before, own, "the one before cannot read what it writes"),
        ]
        .into_iter()
        .filter(|(is_wanted, ..)| *is_wanted)
        {
            for why in reader.refusals(writer) {
                let reason = format!("schema `{name}` cannot follow `{follows}`: {what}: {why}");
                problems.push(config.problem(schema.place, MISFIT, reason));
            }
        }
    }
    problems
}

/// The schemas that files hold, by name.
fn files(config: &HostConfig, problems: &mut Problems) -> BTreeMap<String, Arc<Schema>> {
    let mut files = BTreeMap::new();
    for (name, schema) in &config.schemas.named {
        let SchemaSource::File(path) = &schema.source else { continue };
        let kind = match path.extension() {
            Some(extension) if extension == "avsc" => Kind::Avro,
            _ => Kind::Json,
        };
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        match text.and_then(|text| Schema::new(kind, &text).map_err(|error| error.to_string())) {
            Ok(read) => drop(files.insert(name.clone(), Arc::new(read))),
            Err(why) => {
                let reason = format!("schema `{name}` in {}: {why}", path.display());
                problems.push(config.problem(schema.place, NO_SCHEMA, reason));
            }
        }
    }
    files
}

fn connect(config: &RegistryConfig) -> Result<(Registry, String), Problem> {
    let user = match &config.login {
        Some((user, password)) => Some((user.clone(), gristmill_config::read::secret(password)?)),
        None => None,
    };
    let timeout = Duration::from_millis(config.timeout.0);
    let settings = RegistrySettings { url: config.url.clone(), user, timeout };
    Ok((Registry::new(settings), config.url.clone()))
}
