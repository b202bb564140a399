//! `bartizan token`.

use serde_json::Value;

use crate::Scratch;

/// What `token mint` printed on standard output.
fn token(scratch: &Scratch, code: i32, arguments: &str) -> String {
    let (out, err) = scratch.run(code, &format!("token mint {arguments}"), "", &[]);
    assert!(err.contains("FOR DEVELOPMENT: ") && err.contains("no bundle in production"), "{err}");
    assert_eq!(out.lines().count(), 1, "the token alone: {out}");
    out
}

fn inspected(scratch: &Scratch, code: i32, arguments: &str, token: &str) -> Value {
    let (out, err) = scratch.run(code, &format!("token inspect --format json {arguments}"), token, &[]);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}\n{out}{err}"))
}

#[test]
fn a_minted_token_is_accepted_by_its_bundle() {
    let scratch = Scratch::new("token");
    scratch.ends(0, "init --from iot-gateway p");
    let good = token(&scratch, 0, "--bundle p --test-key --role viewer --permission sensors:read:a");
    let seen = inspected(&scratch, 0, "--bundle p", &good);
    assert_eq!((&seen["header"]["alg"], &seen["header"]["kid"]), (&"RS256".into(), &"rs256-0".into()));
    let identity = &seen["judgement"]["identity"];
    assert_eq!((&identity["issuer"], &identity["subject"]), (&"corp".into(), &"developer".into()));
    assert_eq!(identity["roles"], serde_json::json!(["viewer"]));
    assert_eq!(seen["claims"]["type"], "access", "what the issuer asks for is there");
    assert!(seen["claims"]["jti"].as_str().is_some_and(|jti| jti.starts_with("development-")));
    let life = seen["claims"]["exp"].as_u64().zip(seen["claims"]["iat"].as_u64()).map(|(exp, iat)| exp - iat);
    assert_eq!(life, Some(900), "short, unless another life is asked for");
    // The same decision for the word before it, from a file, and later.
    inspected(&scratch, 0, "--bundle p", &format!("Bearer {good}"));
    scratch.write("t.txt", &good);
    assert!(scratch.ends(0, "token inspect t.txt --bundle p").contains("accepted by bundle `iot-gateway`"));
    let late = inspected(&scratch, 1, "--bundle p --at 2099-01-01T00:00:00Z", &good);
    assert_eq!(
        (&late["expired"], &late["judgement"]["refusal"]["reason"]),
        (&true.into(), &"token-expired".into())
    );
    // The decision of a whole request is the same.
    scratch.write(
        "r.yaml",
        &format!("path: /api/v1/sensors\nheaders: {{authorization: \"Bearer {}\"}}\n", good.trim()),
    );
    assert!(scratch.ends(0, "explain p --request r.yaml --format json").contains("\"allow\": true"));
}

#[test]
fn what_a_bundle_would_refuse_is_said_with_the_reason() {
    let scratch = Scratch::new("token-refused");
    scratch.ends(0, "init --from iot-gateway p");
    for (arguments, detail) in [
        ("--claim type=refresh", "claim `type`"),
        ("--audience somebody-else", "claim `aud`"),
        ("--claim exp=null", "claim `exp`"),
        ("--alg ES384", "does not accept ES384"),
        ("--kid nobody", "has no key `nobody`"),
        ("--claim iss=https://else.example", "no issuer of the policy"),
    ] {
        let (out, err) = scratch.run(1, &format!("token mint --bundle p --test-key {arguments}"), "", &[]);
        assert!(err.contains("refused by bundle") && err.contains(detail), "{arguments}: {err}");
        let seen = inspected(&scratch, 1, "--bundle p", &out);
        assert!(seen["judgement"]["refusal"]["detail"].to_string().contains(detail), "{seen:#}");
    }
    // A stranger's key: by the signature.
    let (strange, _) = scratch.run(1, "token mint --bundle p --new-key mine --kid rs256-0", "", &[]);
    let seen = inspected(&scratch, 1, "--bundle p", &strange);
    assert_eq!(seen["judgement"]["refusal"]["detail"], "the signature does not verify");
    scratch.ends(1, "token mint --bundle p --test-key --issuer nobody");
    scratch.ends(1, "token mint --bundle p --key p/bundle.yaml");
    for wrong in [
        "--test-key",
        "--bundle p",
        "--bundle p --test-key --key a",
        "--bundle p --test-key --lifetime 25h",
        "--bundle p --test-key --lifetime 0s",
        "--bundle p --test-key --claim type",
    ] {
        scratch.ends(2, &format!("token mint {wrong}"));
    }
    scratch.ends(3, "token mint --bundle p --key nowhere.key");
    scratch.ends(1, "token mint --bundle nowhere --test-key");
}

#[test]
fn keys_of_ones_own_sign_for_the_bundles_that_have_them() {
    let scratch = Scratch::new("token-own");
    let bundle = |keys: &str, algorithm: &str| {
        format!(
            "apiVersion: bartizan/v1\nname: own\nauthentication:\n  jwt:\n    - {{name: dev, issuer: \"https://dev.example.com/\", \
             audiences: [api], algorithms: [{algorithm}], keys: {keys}}}\n\
             routes: [{{path: /, methods: [GET], access: authenticated}}]\n"
        )
    };
    for (algorithm, name) in [("ES256", "a"), ("EdDSA", "b"), ("RS256", "c"), ("ES384", "d")] {
        let make =
            format!("--issuer https://dev.example.com/ --audience api --alg {algorithm} --new-key {name}");
        token(&scratch, 0, &make);
        scratch.write(
            &format!("{name}/bundle.yaml"),
            &bundle(&format!("{{jwks: {name}.jwks.json}}"), algorithm),
        );
        scratch.write(&format!("{name}/{name}.jwks.json"), &scratch.read(&format!("{name}.jwks.json")));
        assert!(
            !scratch.read(&format!("{name}.jwks.json")).contains("\"d\""),
            "a key set has no private key"
        );
        // Found in the key set by itself, so that the token names it.
        let good = token(&scratch, 0, &format!("--bundle {name} --key {name}.key"));
        assert_eq!(
            inspected(&scratch, 0, &format!("--bundle {name}"), &good)["header"]["kid"],
            "development"
        );
        let before = scratch.read(&format!("{name}.key"));
        assert!(scratch.ends(1, &format!("token mint {make}")).contains("there already"));
        assert_eq!(scratch.read(&format!("{name}.key")), before);
    }
    assert!(
        scratch
            .ends(1, "token mint --bundle a --key b.key")
            .contains("accepts ES256, and this key signs with EdDSA")
    );
    // A shared secret, from the environment in both commands.
    scratch.write("s/bundle.yaml", &bundle("{secret: {env: DEV_SECRET}}", "HS256"));
    let secret = [("DEV_SECRET", "0123456789abcdef0123456789abcdef")];
    let (good, _) = scratch.run(0, "token mint --bundle s --secret-env DEV_SECRET", "", &secret);
    let (out, _) = scratch.run(0, "token inspect --bundle s", &good, &secret);
    assert!(out.contains("accepted by bundle `own`"), "{out}");
    let (out, _) = scratch.run(1, "token inspect --bundle s", &good, &[]);
    assert!(out.contains("DEV_SECRET is not set here"), "{out}");
    assert!(scratch.ends(1, "token mint --bundle s --secret-env NO_SUCH").contains("is not set"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = scratch.path("a.key").metadata().map(|metadata| metadata.permissions().mode() & 0o777);
        assert_eq!(mode.ok(), Some(0o600));
    }
}

#[test]
fn what_is_no_token_is_shown_as_far_as_it_goes_and_steers_no_terminal() {
    let scratch = Scratch::new("token-bad");
    // {"alg":"none"}.{"sub":"root"}.
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.";
    let seen = inspected(&scratch, 1, "", none);
    assert_eq!((&seen["claims"]["sub"], &seen["header"]["alg"]), (&"root".into(), &"none".into()));
    assert!(seen["form"].as_str().is_some_and(|form| form.contains("`none`")), "{seen:#}");
    let (out, _) = scratch.run(1, "token inspect", "abc", &[]);
    assert!(out.contains("cannot be read") && out.contains("not three parts"), "{out}");
    assert!(scratch.run(1, "token inspect", "  \n", &[]).1.contains("no token"));
    scratch.run(1, "token inspect", &"a".repeat(100_000), &[]);
    // {"alg":"ES256"}.{"sub":"\u001b[2J\u202e","exp":1e400}
    let hostile = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJcdTAwMWJbMkpcdTIwMmUiLCJleHAiOi0xfQ.AAAA";
    let (out, _) = scratch.run(0, "token inspect", hostile, &[]);
    assert!(out.contains("\\u{1b}[2J\\u{202e}") && !out.contains('\u{1b}'), "{out}");
    assert!(!out.contains("AAAA"), "a signature is not shown");
    scratch.write(
        "empty/bundle.yaml",
        "apiVersion: bartizan/v1\nname: a\nroutes: [{path: /, access: public}]\n",
    );
    let (_, err) = scratch.run(1, "token inspect --bundle empty", hostile, &[]);
    assert!(err.contains("has no issuers"), "{err}");
    scratch.ends(2, "token");
    scratch.ends(3, "token inspect nowhere.txt");
}
