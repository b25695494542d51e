//! What holds for every importer.

use super::*;

#[test]
fn whose_a_file_is_is_seen_from_its_content_whatever_its_name() {
    for (text, peer) in [
        ("server:\n  interface: ::1\n", Peer::Unbound),
        ("options {\n  dns64 64:ff9b::/96 { };\n};\n", Peer::Bind),
        ("dns64-prefix=64:ff9b::/96\nlocal-port=53\n", Peer::Pdns),
        ("recursor:\n  dns64_prefix: 64:ff9b::/96\n", Peer::Pdns),
        ("network:\n  listen:\n  - interface: ::1\ndns64: true\n", Peer::Knot),
        ("modules.load('dns64')\nnet.listen('::1')\n", Peer::Knot),
        (".:53 {\n  dns64\n  forward . 192.0.2.1\n}\n", Peer::CoreDns),
    ] {
        let import =
            import_files(None, &[("file", text)]).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(import.peer, peer, "{text}");
        let _config = checked(&import);
    }
}

#[test]
fn a_file_that_could_be_anyones_is_refused_with_the_way_out() {
    let expected = "file: it is not clear whose configuration this is: say it by --from (unbound, \
                    bind, pdns, knot, coredns)";
    assert_eq!(error("file", ""), expected);
    assert_eq!(error("file", "hello\nworld\n"), expected);
    let import = import_files(Some(Peer::Bind), &[("file", "")]).unwrap();
    assert_eq!(import.peer, Peer::Bind);
}

#[test]
fn what_does_not_fit_is_left_out_with_a_note() {
    let (table, import) = read(
        "unbound.conf",
        "server:\n module-config: dns64\n interface: 127.0.0.1\n num-threads: 1000\n\
         dns64-ignore-aaaa: \"a b\"\nforward-zone:\n name: .\n forward-addr: 127.0.0.1\n\
         forward-addr: 192.0.2.1\n forward-addr: 192.0.2.1\n forward-addr: ff02::1\n",
    );
    assert_eq!(at(&table, "upstream.servers"), "[\"192.0.2.1:53\"]");
    assert_eq!(at(&table, "workers"), "256");
    for note in ["a loop", "num-threads: 1000 became 256", "this is no domain name", "ff02::1"] {
        assert!(notes(&import, note), "{note}");
    }
    let _config = checked(&import);
}

#[test]
fn a_comment_cannot_break_out_of_its_line() {
    let (_, import) =
        read("unbound.conf", "server:\n identity: \"a\u{b}listen = 1\u{85}\u{2028}x\"\n");
    let _config = checked(&import);
    assert!(!import.text.contains('\u{b}'));
}

#[test]
fn files_are_bounded_in_number_depth_and_size() {
    let mut files = Memory::default();
    for number in 0..30 {
        let text = format!("server:\n include: f{}\n", number + 1);
        files.0.insert(format!("f{number}").into(), text.into_bytes());
    }
    let error = import(Path::new("f0"), Some(Peer::Unbound), &files).unwrap_err();
    assert!(error.message.contains("more than 20 deep"), "{error}");
    let long = vec![b'#'; usize::try_from(files::FILE_MAX).unwrap() + 1];
    files.0.insert("long".into(), long);
    let error = import(Path::new("long"), Some(Peer::Unbound), &files).unwrap_err();
    assert_eq!(error.message, "long: is longer than 8 MiB");
}
