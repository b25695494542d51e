//! A signed tree of zones, made with BIND's tools: a root, a zone below it, and below that good
//! zones and zones that are broken in one way each.

use std::fs;
use std::path::Path;
use std::process::Command;

use dns64_tests::netns::Scratch;

/// What is done to a zone after it has been signed, or in place of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It is not signed, and has no DS.
    Unsigned,
    /// Its signatures are past their time.
    Expired,
    /// The time of its signatures has not come.
    Future,
    /// Signatures of A, AAAA and NSEC do not fit.
    Forged,
    /// Signatures of A, AAAA and NSEC are gone.
    Stripped,
    /// Its DNSKEY are gone.
    NoKeys,
    /// The DS is of another key.
    OtherDs,
    /// The AAAA of `dual` are gone, and its NSEC still says that there are some.
    HiddenAaaa,
    /// All NSEC are gone.
    NoProofs,
}

/// The zones below `test.`: whether they have NSEC3, and what is wrong with them.
const ZONES: [(&str, bool, Fault); 12] = [
    ("secure", false, Fault::None),
    ("hashed", true, Fault::None),
    ("unsigned", false, Fault::Unsigned),
    ("expired", false, Fault::Expired),
    ("future", false, Fault::Future),
    ("forged", false, Fault::Forged),
    ("stripped", false, Fault::Stripped),
    ("nokeys", false, Fault::NoKeys),
    ("otherds", false, Fault::OtherDs),
    ("hidden", false, Fault::HiddenAaaa),
    ("noproofs", false, Fault::NoProofs),
    ("negative", false, Fault::Expired),
];

/// What every zone below `test.` has.
const RECORDS: &str = "\
@         SOA   ns. hostmaster 1 3600 600 86400 60
@         NS    ns.
v4        A     198.51.100.80
dual      A     198.51.100.81
dual      AAAA  2001:db8:feed::81
v6        AAAA  2001:db8:feed::82
alias     CNAME v4
*.wild    A     198.51.100.83
";

/// What only `secure.test.` has: chains into other zones.
const CHAINS: &str = "\
to-hashed   CNAME v4.hashed.test.
to-unsigned CNAME v4.unsigned.test.
to-forged   CNAME v4.forged.test.
down        DNAME hashed.test.
";

/// Runs one of BIND's tools, and gives back what it says.
fn tool(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(directory).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Makes a key that signs everything in a zone; the name of its files.
fn make_key(directory: &Path, zone: &str) -> String {
    let options = ["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", zone];
    tool(directory, "dnssec-keygen", &options)
}

/// Makes every zone in the directory: files `NAME.zone`, and `anchor` with the DS of the root.
/// Gives back the zones with their files.
pub(crate) fn make(scratch: &Scratch) -> Vec<(String, String)> {
    let directory = scratch.path();
    let mut files = Vec::new();
    let mut delegations = String::new();
    for (label, hashed, fault) in ZONES {
        let zone = format!("{label}.test.");
        let chains = if label == "secure" { CHAINS } else { "" };
        let text = format!("$ORIGIN {zone}\n$TTL 300\n{RECORDS}{chains}");
        delegations.push_str(&format!("{label} NS ns.\n"));
        if fault == Fault::Unsigned {
            scratch.write(&format!("{label}.zone"), &text);
        } else {
            let times = if fault == Fault::Expired {
                ["20200101000000", "20200201000000"]
            } else if fault == Fault::Future {
                ["+31536000", "+63072000"]
            } else {
                ["-3600", "+2592000"]
            };
            sign(scratch, &zone, label, &text, hashed, times);
            spoil(scratch, label, &zone, fault);
        }
        files.push((zone, format!("{label}.zone")));
    }
    let soa = "@ SOA ns. hostmaster.test. 1 3600 600 86400 60\n@ NS ns.\n";
    let text = format!("$ORIGIN test.\n$TTL 300\n{soa}{delegations}");
    let now = ["-3600", "+2592000"];
    sign(scratch, "test.", "test", &text, false, now);
    let text = format!("$ORIGIN .\n$TTL 300\n{soa}ns A 127.0.0.10\ntest NS ns.\n");
    sign(scratch, ".", "root", &text, false, now);
    fs::copy(directory.join("dsset-."), directory.join("anchor")).expect("the root has a DS");
    files.push(("test.".to_owned(), "test.zone".to_owned()));
    files.push((".".to_owned(), "root.zone".to_owned()));
    files
}

/// Signs a zone, with the DS of those below it that have some.
fn sign(
    scratch: &Scratch,
    zone: &str,
    label: &str,
    text: &str,
    hashed: bool,
    [from, until]: [&str; 2],
) {
    let directory = scratch.path();
    let key = make_key(directory, zone);
    let public = fs::read_to_string(directory.join(format!("{key}.key"))).expect("just made");
    let unsigned = format!("{label}.unsigned");
    scratch.write(&unsigned, &format!("{text}{public}"));
    let signed = format!("{label}.zone");
    // With a sign they count from now on.
    let moment = |text: &str| match text.starts_with(['+', '-']) {
        true => format!("now{text}"),
        false => text.to_owned(),
    };
    let (from, until) = (moment(from), moment(until));
    let mut options = vec!["-z", "-P", "-g", "-s", from.as_str(), "-e", until.as_str()];
    if hashed {
        options.extend(["-3", "-"]);
    }
    options.extend(["-o", zone, "-f", signed.as_str(), unsigned.as_str(), key.as_str()]);
    tool(directory, "dnssec-signzone", &options);
}

/// Breaks a signed zone.
fn spoil(scratch: &Scratch, label: &str, zone: &str, fault: Fault) {
    let directory = scratch.path();
    let path = directory.join(format!("{label}.zone"));
    if fault == Fault::OtherDs {
        let other = make_key(directory, zone);
        let digest = tool(directory, "dnssec-dsfromkey", &["-2", &other]);
        scratch.write(&format!("dsset-{zone}"), &format!("{digest}\n"));
    }
    if matches!(fault, Fault::None | Fault::OtherDs | Fault::Expired | Fault::Future) {
        return;
    }
    // One record a line, whole names.
    let flat = tool(
        directory,
        "named-compilezone",
        &[
            "-q",
            "-i",
            "none",
            "-k",
            "ignore",
            "-s",
            "full",
            "-o",
            "-",
            zone,
            &path.to_string_lossy(),
        ],
    );
    let kept: Vec<String> = flat.lines().filter_map(|line| spoil_line(line, fault)).collect();
    scratch.write(&format!("{label}.zone"), &format!("{}\n", kept.join("\n")));
}

/// What is left of a record.
fn spoil_line(line: &str, fault: Fault) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if line.starts_with(';') || fields.len() < 5 {
        return None;
    }
    let (owner, rtype) = (fields[0], fields[3]);
    let covered = if rtype == "RRSIG" { fields[4] } else { "" };
    let signs_data = matches!(covered, "A" | "AAAA" | "NSEC");
    if fault == Fault::Forged && signs_data {
        // Another signature of the right length.
        let signature = fields[12..].concat();
        let (start, end) = signature.split_at(40);
        return Some(format!("{} {}{end}", fields[..12].join(" "), start.to_ascii_uppercase()));
    }
    let is_of = |wanted: &str| rtype == wanted || covered == wanted;
    let goes = (fault == Fault::Stripped && signs_data)
        || (fault == Fault::NoKeys && is_of("DNSKEY"))
        || (fault == Fault::HiddenAaaa && owner.starts_with("dual.") && is_of("AAAA"))
        || (fault == Fault::NoProofs && is_of("NSEC"));
    (!goes).then(|| line.to_owned())
}
