//! Grant types are told apart by their properties. A file that names one would have to be changed with each new one, and the
//! compiler would not point to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use structure::{
    crate_tree::{CrateTree, read_crates},
    variants::variants,
};

/// The table, the flows and their table, and the tests that every store passes: they may name all.
const TABLES: [&str; 3] = [
    "crates/authkeeper/src/model/grant_type.rs",
    "crates/authkeeper/src/oauth/grant/",
    "crates/authkeeper/src/store/conformance/",
];

/// A sign-in with code of its own names the grant that it brings; the command line names those that its flags stand for.
/// No unattended grant type is among them.
const NAMED: [(&str, &[&str]); 6] = [
    (
        "crates/authkeeper-cli/src/commands/connect/resolve.rs",
        &["ApiKey", "AuthorizationCode", "DeviceCode"],
    ),
    ("crates/authkeeper/src/signin/api_key.rs", &["ApiKey"]),
    (
        "crates/authkeeper/src/signin/code.rs",
        &["AuthorizationCode"],
    ),
    ("crates/authkeeper/src/signin/device.rs", &["DeviceCode"]),
    (
        "crates/authkeeper/src/signin/import.rs",
        &["AuthorizationCode"],
    ),
    (
        "crates/authkeeper/src/signin/request.rs",
        &["ApiKey", "AuthorizationCode", "DeviceCode"],
    ),
];

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn named() -> io::Result<BTreeMap<PathBuf, BTreeSet<String>>> {
    let crates = read_crates(&repository(), &["crates"])?;
    let named = crates.iter().flat_map(|tree| variants(tree, "GrantType"));
    Ok(named.collect())
}

fn is_table(file: &Path) -> bool {
    let mut tables = TABLES.iter();
    tables.any(|table| file.starts_with(table))
}

#[test]
fn no_other_file_names_a_grant_type() {
    let found = named()
        .unwrap()
        .into_iter()
        .filter(|(file, _)| !is_table(file));
    let found: BTreeMap<PathBuf, BTreeSet<String>> = found.collect();
    let allowed = NAMED.iter().map(|(file, variants)| {
        let variants = variants.iter().map(|name| (*name).to_owned());
        (PathBuf::from(file), variants.collect())
    });
    assert_eq!(
        found,
        allowed.collect(),
        "ask for a property of the grant type (model/grant_type.rs), or add one"
    );
}

/// A new grant type needs three files of source: its row in the table, its flow, and the flow's row.
#[test]
fn an_unattended_grant_type_is_named_in_three_files() {
    let root = "crates/authkeeper/src/";
    let table = std::fs::read_to_string(repository().join(TABLES[0])).unwrap();
    let named = named().unwrap();
    let rows = table.split(" = GrantProperties {").collect::<Vec<_>>();
    let rows = rows.windows(2).filter_map(|pair| {
        let [before, row] = pair else { return None };
        let row = row.split("};").next()?;
        let name = before.rsplit(char::is_whitespace).next()?;
        let word = row.split('"').nth(1)?;
        row.contains("SignInKind::Unattended")
            .then_some((name, word))
    });
    let rows: Vec<(&str, &str)> = rows.collect();
    assert!(rows.len() > 2, "{rows:?}");
    for (grant_type, flow) in rows {
        let others = named.iter().filter(|(file, variants)| {
            let is_apart = file.starts_with(TABLES[0]) || file.starts_with(TABLES[2]);
            variants.contains(grant_type) && !is_apart
        });
        let others: BTreeSet<PathBuf> = others.map(|(file, _)| file.clone()).collect();
        let expected = [
            format!("{root}oauth/grant/mod.rs"),
            format!("{root}oauth/grant/{flow}.rs"),
        ];
        assert_eq!(others, expected.map(PathBuf::from).into(), "{grant_type}");
    }
}

/// A variant counts by whatever name; a property, a constant and a test do not.
#[test]
fn a_planted_variant_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let planted = CrateTree::read(root, &root.join("tests/planted/variants")).unwrap();
    let found = variants(&planted, "Kind");
    let at = |name: &str| {
        let file = format!("tests/planted/variants/src/{name}.rs");
        let found = found.get(Path::new(&file)).cloned().unwrap_or_default();
        found.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(at("variant"), ["One"]);
    assert_eq!(at("other_names"), ["One", "Two"]);
    assert_eq!((at("properties"), at("kind")), (vec![], vec![]));
}
