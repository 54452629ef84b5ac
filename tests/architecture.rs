//! Dependencies between the modules of the daemon point one way, as the table says.

mod paths;

use paths::{Mention, Source};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Everything a module may name besides itself; `a::B` permits that item only. Code for tests is exempt.
const TABLE: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &[
            "config",
            "server",
            "inspect",
            "identity",
            "metadata",
            "metadefs",
            "policy",
            "image::Timestamp",
        ],
    ),
    (
        "server",
        &[
            "listener",
            "telemetry",
            "lifecycle",
            "http",
            "import",
            "janitor",
            "catalog",
            "definitions",
            "transfer",
            "cache",
            "ledger",
            "stores",
            "metadata",
            "policy",
            "protocol",
            "quota",
            "config",
            "identity",
            "image::NodeId",
            "image::Timestamp",
            // What configuration says of them, on its way to `transfer`.
            "digest::Algorithm",
            "digest::DigestPool",
            "digest::UnknownAlgorithm",
            "inspect::Archives",
            "inspect::FormatMatch",
            "inspect::Rules",
        ],
    ),
    ("listener", &["config", "lifecycle", "file_answer"]),
    ("telemetry", &["config"]),
    (
        "http",
        &[
            "catalog",
            "definitions",
            "metadefs",
            "import",
            "transfer",
            "policy",
            "identity",
            "image",
            "config",
            "lifecycle",
            "inspect::Refusal",
            "metadata",
            "cache",
            "file_answer",
        ],
    ),
    (
        "import",
        &[
            "catalog", "transfer", "ledger", "stores", "metadata", "policy", "identity", "image", "inspect",
        ],
    ),
    ("janitor", &["ledger", "stores", "metadata", "image", "protocol"]),
    (
        "catalog",
        &[
            "metadata", "policy", "quota", "identity", "image", "janitor", "stores", "cache",
        ],
    ),
    (
        "transfer",
        &[
            "cache", "digest", "inspect", "janitor", "ledger", "stores", "metadata", "policy", "quota",
            "image", "protocol",
        ],
    ),
    ("cache", &["digest", "image"]),
    ("stores", &["config"]),
    (
        "definitions",
        &["metadata", "metadefs", "policy", "identity", "image"],
    ),
    ("metadata", &["image", "metadefs"]),
    ("metadefs", &["image"]),
    ("policy", &["identity", "image"]),
    ("quota", &["identity", "image"]),
    ("protocol", &["image"]),
    ("config", &[]),
    ("identity", &[]),
    ("image", &[]),
    ("digest", &[]),
    ("file_answer", &[]),
    ("inspect", &[]),
    ("ledger", &[]),
    ("lifecycle", &[]),
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn may_name(module: &str) -> Option<&'static [&'static str]> {
    TABLE
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, may)| *may)
}

/// Modules that `lib.rs` declares.
fn modules() -> BTreeSet<String> {
    let text = fs::read_to_string(src().join("lib.rs")).unwrap();
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

fn is_allowed(may: &[&str], path: &[String]) -> bool {
    may.iter().any(|rule| {
        rule.split("::")
            .zip(0..)
            .all(|(part, at)| path.get(at).is_some_and(|p| p == part))
    })
}

/// `src/x/y.rs:12: catalog may not name transfer`, for each.
fn violations(
    shown: &str,
    module: &str,
    text: &str,
    modules: &BTreeSet<String>,
    depth: usize,
) -> Vec<String> {
    let may = may_name(module).unwrap_or(&[]);
    let root = if module == "main" { "saccade" } else { "crate" };
    Source::new(text)
        .mentions(root, depth)
        .into_iter()
        .filter(|Mention { path, .. }| {
            path.first()
                .is_some_and(|first| first != module && modules.contains(first))
        })
        .filter(|Mention { path, .. }| !is_allowed(may, path))
        .map(|Mention { path, line }| format!("{shown}:{line}: {module} may not name {}", path.join("::")))
        .collect()
}

/// Files below `dir`, except those that a `#[cfg(test)] mod x;` declares.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut tests = BTreeSet::new();
    let mut directories = vec![dir.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let children = match path.file_name().unwrap().to_str().unwrap() {
                    "mod.rs" | "lib.rs" | "main.rs" => path.parent().unwrap().to_owned(),
                    _ => path.with_extension(""),
                };
                let text = fs::read_to_string(&path).unwrap();
                tests.extend(
                    Source::new(&text)
                        .test_modules()
                        .into_iter()
                        .map(|name| children.join(name)),
                );
                found.push(path);
            }
        }
    }
    let is_test = |path: &PathBuf| path.with_extension("").ancestors().any(|a| tests.contains(a));
    found.retain(|path| !is_test(path));
    found.sort();
    found
}

#[test]
fn modules_name_only_what_the_table_allows() {
    let modules = modules();
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for file in files(&src()) {
        let relative = file.strip_prefix(src()).unwrap();
        let mut parts: Vec<_> = relative
            .with_extension("")
            .iter()
            .map(|p| p.to_str().unwrap().to_owned())
            .collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts.pop();
        }
        if parts == ["lib"] {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let shown = Path::new("src").join(relative);
        wrong.extend(violations(
            shown.to_str().unwrap(),
            &parts[0],
            &text,
            &modules,
            parts.len(),
        ));
        looked_at += 1;
    }
    assert!(looked_at > modules.len(), "sources are found");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place_in_the_table() {
    let missing: Vec<_> = modules()
        .into_iter()
        .filter(|module| may_name(module).is_none())
        .collect();
    assert!(
        missing.is_empty(),
        "place in the table of tests/architecture.rs: {missing:?}"
    );
}

#[test]
fn the_table_has_no_circle() {
    // A module whose every dependency is placed can be placed; in the end all are.
    let mut placed = BTreeSet::new();
    loop {
        let before = placed.len();
        for (module, may) in TABLE {
            let depends = |rule: &&str| placed.contains(rule.split("::").next().unwrap());
            if may.iter().all(depends) {
                placed.insert(*module);
            }
        }
        if placed.len() == before {
            break;
        }
    }
    let circle: Vec<_> = TABLE
        .iter()
        .filter(|(module, _)| !placed.contains(module))
        .collect();
    assert!(circle.is_empty(), "{circle:?}");
}

#[test]
fn a_violation_is_found_in_every_way_of_writing_it() {
    let modules = ["catalog", "transfer", "image", "http"].map(str::to_owned).into();
    let found = |text: &str| violations("src/catalog/x.rs", "catalog", text, &modules, 2);
    for text in [
        "\nuse crate::transfer::Upload;",
        "use\ncrate::transfer::Upload as U;",
        "use crate::{image::Image,\n transfer::Upload};",
        "use crate::{image::{Image, Status},\n transfer::{Upload}, catalog::y};",
        "fn f() {\n crate::transfer::Upload::new() }",
        "info!(\n\"a\", crate::transfer::Upload)",
        "\nuse super::super::transfer::Upload;",
        "/* \" */ const C: char = '\"';\nuse crate::transfer::Upload; // \"",
        "#[cfg(test)] mod tests { use crate::http; }\nuse crate::transfer::Upload;",
    ] {
        let found = found(text);
        let [violation] = found.as_slice() else {
            panic!("{found:?} in {text}")
        };
        let expected = "src/catalog/x.rs:2: catalog may not name transfer::Upload";
        assert!(violation.starts_with(expected), "{violation} in {text}");
    }
}

#[test]
fn what_is_allowed_or_no_code_is_no_violation() {
    let modules = ["catalog", "transfer", "image", "http"].map(str::to_owned).into();
    for text in [
        "use crate::{catalog::create, image::{self, Image}};",
        "use http::StatusCode; use super::http;",
        "// use crate::transfer;\n/* crate::transfer */\n/// [`crate::transfer`]\nfn f() {}",
        "const S: &str = \"crate::transfer\"; const R: &str = r#\"\"crate::transfer\"#;",
        "#[cfg(test)]\nmod tests { use crate::transfer::Upload; fn f() { { } } }",
        "#[cfg(test)]\nuse crate::transfer::Upload;",
    ] {
        assert_eq!(
            violations("src/catalog/x.rs", "catalog", text, &modules, 2),
            [""; 0],
            "{text}"
        );
    }
}

#[test]
fn an_allowance_of_one_item_is_not_one_of_its_module() {
    let modules = ["http", "inspect"].map(str::to_owned).into();
    let found = |text: &str| violations("src/http/x.rs", "http", text, &modules, 2).len();
    assert_eq!(found("use crate::inspect::Refusal;"), 0);
    assert_eq!(found("use crate::inspect::{Refusal, Inspector};"), 1);
    assert_eq!(found("use crate::inspect;"), 1);
}
