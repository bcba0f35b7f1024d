//! What the guest wrote on its second serial port: for each command its standard output, then the
//! line `ringway-floor: status NUMBER STATUS`.

use serde_json::Value;

const STATUS: &str = "\nringway-floor: status ";

/// What one command did.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// Its standard output, with an empty line at most added.
    pub stdout: &'a str,
    /// Its exit status.
    pub status: u8,
}

/// The outcome of the command with this number, from 0; `None` if the guest never told it.
pub fn of(number: usize, output: &str) -> Option<Outcome<'_>> {
    let mut rest = output;
    loop {
        let (stdout, after) = rest.split_once(STATUS)?;
        let (status, after) = after.split_once('\n')?;
        let (found, status) = status.split_once(' ')?;
        if found.parse() == Ok(number) {
            let status = status.parse().ok()?;
            return Some(Outcome { stdout, status });
        }
        rest = after;
    }
}

/// Whether `stdout` is one JSON document in which every `digest_ok` is true, and there is one.
pub fn proves_digest(stdout: &str) -> bool {
    let Ok(document) = serde_json::from_str(stdout) else {
        return false;
    };
    let mut verdicts = Vec::new();
    collect_verdicts(&document, &mut verdicts);
    !verdicts.is_empty()
        && verdicts
            .iter()
            .all(|verdict| **verdict == Value::Bool(true))
}

/// Whether `stdout` is that of a test program in which one test ran, and passed.
pub fn proves_test(stdout: &str) -> bool {
    stdout.contains("\ntest result: ok. 1 passed; 0 failed; 0 ignored;")
}

fn collect_verdicts<'a>(value: &'a Value, verdicts: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            verdicts.extend(fields.get("digest_ok"));
            fields
                .values()
                .for_each(|field| collect_verdicts(field, verdicts));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_verdicts(item, verdicts)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "kernel 6.1\n\nringway-floor: status 0 0\n{\"digest_ok\":true}\n\nringway-floor: status 1 7\n";

    #[test]
    fn each_command_has_its_own_output_and_status() {
        let first = of(0, OUTPUT).expect("it ended");
        assert_eq!((first.stdout, first.status), ("kernel 6.1\n", 0));
        let second = of(1, OUTPUT).expect("it ended");
        assert_eq!(
            (second.stdout, second.status),
            ("{\"digest_ok\":true}\n", 7)
        );
    }

    #[test]
    fn a_command_that_never_ended_has_no_outcome() {
        assert_eq!(of(2, OUTPUT), None);
        assert_eq!(of(0, "kernel panic"), None);
    }

    #[test]
    fn a_test_that_did_not_run_proves_nothing() {
        let result = "\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 6 filtered out";
        assert!(proves_test(result));
        for (passed, other) in [
            ("1 passed", "0 passed"),
            ("0 ignored", "1 ignored"),
            ("ok", "no"),
        ] {
            assert!(!proves_test(&result.replace(passed, other)), "{other}");
        }
    }

    #[test]
    fn only_a_true_digest_proves() {
        assert!(proves_digest("{\"digest_ok\": true}\n"));
        assert!(proves_digest(
            "{\"streams\": [{\"digest_ok\": true}, {\"digest_ok\": true}]}"
        ));
        for stdout in [
            "",
            "done",
            "{}",
            "{\"digest_ok\": false}",
            "{\"digest_ok\": \"true\"}",
            "{\"digest_ok\": true, \"streams\": [{\"digest_ok\": false}]}",
            "{\"digest_ok\": true} {\"digest_ok\": true}",
        ] {
            assert!(!proves_digest(stdout), "{stdout}");
        }
    }
}
