//! The ways in: keys in files, key sets that rotate, die, hang and lie, Clerk's tokens, headers of trusted peers, roles.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use herald::auth::{TokenError, TokenVerifier};
use herald::cli::Api;
use herald::config::Config;
use herald::domain::clock::SystemClock;
use herald::pb::{self, Role};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::site::{Answer, Changing};
use crate::support::token::{Authority, SigningKey, key_set, now, production};
use crate::support::{TestApp, config, folder, reason, refused_start, seams};

async fn start(change: impl FnOnce(&mut Config)) -> TestApp {
    let data = folder();
    let mut config = production(config(&data));
    change(&mut config);
    config.validate().expect("valid settings");
    TestApp::with(data, config, seams()).await
}

/// With a key set that may be asked again after a second, and is old after `max_age` seconds.
async fn start_with_keys(url: &str, max_age: u64) -> TestApp {
    start(|config| {
        config.auth.jwks_url = url.to_owned();
        config.auth.jwks_max_age_seconds = max_age;
        config.auth.jwks_cooldown_seconds = 1;
        config.auth.jwks_timeout_seconds = 1;
    })
    .await
}

async fn who(api: &mut Api) -> Result<(String, Role), Status> {
    let settings = api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await?;
    let tenant = settings.metadata().get("x-tenant-id").expect("stamped").to_str().expect("text").to_owned();
    // What a role may do shows which it is.
    let write = pb::BatchCreateProspectsRequest::default();
    let may_write = api.agent.batch_create_prospects(write).await.map_err(|s| s.code()).err();
    let change = pb::UpdateAgentConfigRequest { config: Some(pb::AgentConfig::default()), update_mask: None };
    let may_configure = api.agent.update_agent_config(change).await.is_ok();
    let role = match (may_write, may_configure) {
        (_, true) => Role::Admin,
        (Some(Code::PermissionDenied), _) => Role::Viewer,
        _ => Role::Editor,
    };
    Ok((tenant, role))
}

async fn as_token(app: &TestApp, token: &str) -> Result<(String, Role), Status> {
    who(&mut app.token(token).await).await
}

async fn invalid(app: &TestApp, token: &str) {
    let status = as_token(app, token).await.expect_err("it proves nothing");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "CREDENTIALS_INVALID"), "{status:?}");
}

fn of(user: &str) -> Value {
    json!({ "sub": user, "exp": now() + 60 })
}

fn json_answer(body: Vec<u8>) -> Answer {
    Answer::Page(200, "application/json", body)
}

#[tokio::test]
async fn a_public_key_file_verifies_its_own_algorithm_alone() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let files = folder();
        let path = files.path().join("key.pem");
        let key = SigningKey::new("", algorithm);
        std::fs::write(&path, &key.public_pem).expect("written");
        let app = start(|config| config.auth.public_key_file = path.display().to_string()).await;
        assert_eq!(as_token(&app, &key.sign(&of("user_a"))).await.expect("valid").0, "user_a", "{algorithm:?}");
        // Of another key, and of the same public key taken for a secret.
        invalid(&app, &SigningKey::new("", algorithm).sign(&of("user_a"))).await;
        invalid(&app, &crate::support::token::hs(&of("user_a"), &key.public_pem, Algorithm::HS256)).await;
    }
}

#[tokio::test]
async fn a_key_that_cannot_verify_stops_the_start() {
    let files = folder();
    let path = files.path().join("key.pem");
    let pair = rcgen::KeyPair::generate().expect("a key");
    let private = pair.serialize_pem();
    let certificate = std::fs::read_to_string(Authority::new().path("server.pem")).expect("a certificate");
    let public = pair.public_key_pem();
    for (text, found, to_do) in [
        ("nonsense", "holds no PEM", "openssl pkey -in KEY -pubout"),
        ("", "holds no PEM", "openssl pkey -in KEY -pubout"),
        (&SigningKey::new("", Algorithm::ES384).public_pem, "RS256 (RSA)", "ES256 (P-256)"),
        (&private, "is a private key", "openssl pkey -in KEY -pubout"),
        (&private.replace(" PRIVATE", " EC PRIVATE"), "is a private key", "openssl pkey -in KEY -pubout"),
        (&format!("{public}{private}"), "is a private key", "openssl pkey -in KEY -pubout"),
        (&certificate, "is a certificate", "openssl x509 -in CERTIFICATE -pubkey -noout"),
        (&format!("{public}{public}"), "holds 2 PEM blocks", "the one"),
        (RSA_1024, "is an RSA key of 1024 bits", "2048"),
    ] {
        std::fs::write(&path, text).expect("written");
        let data = folder();
        let mut config = production(config(&data));
        config.auth.public_key_file = path.display().to_string();
        let error = refused_start(config).await;
        assert!(error.contains("key.pem") && error.contains(found) && error.contains(to_do), "{found}: {error}");
    }
}

const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDyAqVHv0bsvlJqgzgbS/jgUiCF
ZisgLSGtCWedhDEQ6KMIR9JRvMIdtbRQ1u53yLgm1EqB/ugJGcCHzkxz2wZx8wb9
thR59Q8hmtOoKq/jKoOMv/nmsqNefj9NZVAxiAeC6Bc2G5Brvmjfzp6n09xu+J8+
NRuFYrS6sdIe82iIZwIDAQAB
-----END PUBLIC KEY-----
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_is_asked_once_by_sixty_calls_and_again_for_a_new_key() {
    let (first, second) = (SigningKey::new("k1", Algorithm::RS256), SigningKey::new("k2", Algorithm::ES256));
    let issuer = Changing::serve(json_answer(key_set(&[&first]))).await;
    let app = start_with_keys(&issuer.url, 600).await;
    let mut apis = Vec::new();
    for n in 0..60 {
        apis.push(app.token(&first.sign(&of(&format!("user_{n}")))).await);
    }
    let calls = apis.iter_mut().map(|api| api.agent.get_agent_config(pb::GetAgentConfigRequest {}));
    for answer in futures_util::future::join_all(calls).await {
        answer.expect("valid");
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    as_token(&app, &first.sign(&of("user_later"))).await.expect("valid");
    assert_eq!(issuer.asked(), 1, "the keys are not old yet");

    // Rotation: a new key is found as soon as a token names it; one that nobody has is asked for at most once a second.
    issuer.set(json_answer(key_set(&[&second])));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(as_token(&app, &second.sign(&of("user_a"))).await.expect("valid").0, "user_a");
    assert_eq!(issuer.asked(), 1);
    for _ in 0..20 {
        invalid(&app, &SigningKey::new("k9", Algorithm::ES256).sign(&of("user_a"))).await;
    }
    assert!(issuer.asked() <= 1);
    // What the first key signed proves nothing any more, unless it was verified before and has not expired.
    invalid(&app, &first.sign(&of("late"))).await;
}

#[tokio::test]
async fn known_keys_go_on_while_the_address_is_down_hangs_or_lies() {
    let key = SigningKey::new("k1", Algorithm::EdDSA);
    let issuer = Changing::serve(json_answer(key_set(&[&key]))).await;
    let app = start_with_keys(&issuer.url, 1).await;
    as_token(&app, &key.sign(&of("user_a"))).await.expect("valid");
    let lies = [
        Answer::Page(500, "text/plain", b"broken".to_vec()),
        Answer::Silence,
        Answer::Page(200, "text/html", b"<html>".to_vec()),
        json_answer(b"{\"keys\": []}".to_vec()),
        json_answer(b"{\"keys\": [{\"kty\": \"oct\", \"k\": \"AAAA\", \"kid\": \"k1\"}]}".to_vec()),
        json_answer(vec![b' '; 2 * 1024 * 1024]),
        Answer::Redirect("http://127.0.0.1:1/".to_owned()),
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        issuer.set(lie);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let begun = Instant::now();
        as_token(&app, &key.sign(&of(&format!("user_{n}")))).await.expect("its key is known");
        assert!(begun.elapsed() < Duration::from_millis(500), "nobody waits for the address: {:?}", begun.elapsed());
    }
    assert!(issuer.asked() >= 7, "it was asked each time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_gives_up_does_not_break_off_the_reading_that_others_wait_for() {
    let key = SigningKey::new("k1", Algorithm::ES256);
    let issuer = Changing::serve(Answer::Slow(Duration::from_millis(500), key_set(&[&key]))).await;
    let app = start_with_keys(&issuer.url, 600).await;
    let (mut hasty, mut patient) =
        (app.token(&key.sign(&of("hasty"))).await, app.token(&key.sign(&of("patient"))).await);
    let request = pb::GetAgentConfigRequest {};
    let given_up = tokio::time::timeout(Duration::from_millis(100), hasty.agent.get_agent_config(request)).await;
    assert!(given_up.is_err(), "the keys take longer");
    patient.agent.get_agent_config(request).await.expect("the reading went on");
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn waiting_for_the_keys_counts_to_a_calls_time() {
    let issuer = Changing::serve(Answer::Silence).await;
    let app = start(|config| {
        config.auth.jwks_url = issuer.url.clone();
        config.auth.jwks_timeout_seconds = 20;
    })
    .await;
    let token = SigningKey::new("k1", Algorithm::RS256).sign(&of("user_a"));
    let call = app.by_hand("TenantService/GetCaller", "application/grpc").bearer_auth(token);
    let call = call.header("grpc-timeout", "300m");
    let begun = Instant::now();
    let answer = call.body(vec![0; 5]).send().await.expect("answered");
    let refused = Status::from_header_map(answer.headers()).expect("a status");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn without_any_key_a_token_is_told_to_come_again() {
    let issuer = Changing::serve(Answer::Page(503, "text/plain", Vec::new())).await;
    let app = start_with_keys(&issuer.url, 600).await;
    let key = SigningKey::new("k1", Algorithm::RS256);
    let status = as_token(&app, &key.sign(&of("user_a"))).await.expect_err("no key");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "KEYS_UNAVAILABLE"));
    issuer.set(json_answer(key_set(&[&key])));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    as_token(&app, &key.sign(&of("user_a"))).await.expect("it is back");
}

#[tokio::test]
async fn a_key_set_is_taken_up_to_a_mebibyte() {
    let key = SigningKey::new("k1", Algorithm::ES256);
    let mut set = key_set(&[&key]);
    set.resize(1024 * 1024, b' ');
    let issuer = Changing::serve(json_answer(set.clone())).await;
    let app = start_with_keys(&issuer.url, 600).await;
    as_token(&app, &key.sign(&of("user_a"))).await.expect("valid");
    set.push(b' ');
    let issuer = Changing::serve(json_answer(set)).await;
    let app = start_with_keys(&issuer.url, 600).await;
    let status = as_token(&app, &key.sign(&of("user_a"))).await.expect_err("too large");
    assert_eq!(reason(&status), "KEYS_UNAVAILABLE");
}

#[tokio::test]
async fn keys_of_a_set_that_are_not_for_our_signatures_are_passed_over() {
    let with = |key: &SigningKey, name: &str, value: &str| {
        let mut jwk = key.jwk();
        jwk[name] = json!(value);
        jwk
    };
    let (rsa, ed) = (SigningKey::new("k1", Algorithm::RS256), SigningKey::new("k1", Algorithm::EdDSA));
    let mut p384 = SigningKey::new("k1", Algorithm::ES384).jwk();
    p384.as_object_mut().expect("an object").remove("alg");
    let for_operations = |operations: Value| {
        let mut jwk = rsa.jwk();
        jwk["key_ops"] = operations;
        jwk
    };
    let of_modulus =
        |bytes: Vec<u8>| json!({"kty": "RSA", "e": "AQAB", "kid": "k1", "n": URL_SAFE_NO_PAD.encode(bytes)});
    let others = [
        p384,
        with(&rsa, "alg", "RS512"),
        with(&rsa, "use", "enc"),
        with(&rsa, "use", ""),
        with(&rsa, "use", "signature"),
        with(&ed, "alg", "ES256"),
        for_operations(json!([])),
        for_operations(json!(["encrypt", "sign"])),
        for_operations(json!("verify")),
        of_modulus(vec![0xff; 128]),
        of_modulus([vec![0; 128], vec![0xff; 128]].concat()),
        of_modulus([vec![0x7f], vec![0xff; 255]].concat()),
    ];
    for other in others {
        let issuer = Changing::serve(json_answer(json!({ "keys": [other] }).to_string().into_bytes())).await;
        let app = start_with_keys(&issuer.url, 600).await;
        let status = as_token(&app, &rsa.sign(&of("user_a"))).await.expect_err("no key of ours");
        assert_eq!(reason(&status), "KEYS_UNAVAILABLE", "{other}");
    }
    for good in [with(&rsa, "use", "sig"), for_operations(json!(["verify"])), for_operations(json!(["sign", "verify"]))]
    {
        let set = json!({ "keys": [good] }).to_string().into_bytes();
        let issuer = Changing::serve(json_answer(set)).await;
        let app = start_with_keys(&issuer.url, 600).await;
        as_token(&app, &rsa.sign(&of("user_a"))).await.expect("it is for signatures");
    }
}

#[tokio::test]
async fn of_a_key_set_the_first_hundred_keys_are_taken() {
    let key = SigningKey::new("k1", Algorithm::ES256);
    let named = |name: String| {
        let mut jwk = key.jwk();
        jwk["kid"] = json!(name);
        jwk
    };
    for (before, is_taken) in [(99, true), (100, false)] {
        let keys: Vec<_> = (0..before).map(|n| named(format!("other{n}"))).chain([key.jwk()]).collect();
        let issuer = Changing::serve(json_answer(json!({ "keys": keys }).to_string().into_bytes())).await;
        let app = start_with_keys(&issuer.url, 600).await;
        if is_taken {
            as_token(&app, &key.sign(&of("user_a"))).await.expect("valid");
        } else {
            invalid(&app, &key.sign(&of("user_a"))).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_unknown_keys_behind_an_issuer_that_hangs_waits_once_and_in_small_number() {
    let key = SigningKey::new("k1", Algorithm::ES256);
    let issuer = Changing::serve(json_answer(key_set(&[&key]))).await;
    let data = folder();
    let mut settings = production(config(&data));
    settings.auth.jwks_url.clone_from(&issuer.url);
    settings.auth.jwks_cooldown_seconds = 1;
    settings.auth.jwks_timeout_seconds = 1;
    let verifier = TokenVerifier::new(&settings.auth, Arc::new(SystemClock)).expect("keys").expect("a source");
    verifier.verify(&key.sign(&of("user_a"))).await.expect("valid");
    assert_eq!(issuer.asked(), 1);
    issuer.set(Answer::Silence);
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    let unknown = (0..400).map(|n| SigningKey::new(&format!("x{n}"), Algorithm::ES256).sign(&of("user_a")));
    let unknown: Vec<_> = unknown.collect();
    let known: Vec<_> = (0..20).map(|n| key.sign(&of(&format!("user_{n}")))).collect();
    let timed = async |token: &String| {
        let begun = Instant::now();
        (verifier.verify(token).await, begun.elapsed())
    };
    let crowd = futures_util::future::join_all(unknown.iter().map(timed));
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        futures_util::future::join_all(known.iter().map(timed)).await
    };
    let both = tokio::time::timeout(Duration::from_secs(10), futures_util::future::join(crowd, meanwhile)).await;
    let (crowd, meanwhile) = both.expect("nobody queues");
    for (answer, took) in &crowd {
        assert!(matches!(answer, Err(TokenError::KeysUnavailable(_))), "{answer:?}");
        assert!(*took < Duration::from_millis(1_900), "nobody waits longer than one reading: {took:?}");
    }
    let waited = crowd.iter().filter(|(_, took)| *took > Duration::from_millis(500)).count();
    assert!((1..=256).contains(&waited), "{waited} waited");
    for (answer, took) in meanwhile {
        answer.expect("a key that is known");
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    assert_eq!(issuer.asked(), 1, "for all of them");
    // The issuer is back: what nobody has is refused again, and is not to be tried again.
    issuer.set(json_answer(key_set(&[&key])));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let refused = verifier.verify(&unknown[0]).await.expect_err("nobody has that key");
    assert!(!matches!(refused, TokenError::KeysUnavailable(_)), "{refused:?}");
}

#[tokio::test]
async fn a_token_that_names_no_key_is_verified_by_the_only_one_there_is() {
    let (first, second) = (SigningKey::new("k1", Algorithm::ES256), SigningKey::new("k2", Algorithm::ES256));
    for (keys, is_valid) in [(vec![&first], true), (vec![&first, &second], false)] {
        let issuer = Changing::serve(json_answer(key_set(&keys))).await;
        let app = start_with_keys(&issuer.url, 600).await;
        let token = first.sign_unnamed(&of("user_a"));
        if is_valid {
            as_token(&app, &token).await.expect("valid");
        } else {
            invalid(&app, &token).await;
        }
    }
}

#[tokio::test]
async fn clerk_s_tokens_of_both_versions_name_their_organisation_and_role() {
    let key = SigningKey::new("ins_1", Algorithm::RS256);
    let issuer = Changing::serve(json_answer(key_set(&[&key]))).await;
    let app = start(|config| {
        config.auth.jwks_url.clone_from(&issuer.url);
        config.auth.issuer = "https://clerk.example.com".to_owned();
        config.auth.authorized_parties = vec!["https://app.example.com".to_owned()];
        config.auth.editor_roles = vec!["member".to_owned(), "org:member".to_owned()];
    })
    .await;
    let token = |claims: Value| {
        let mut all = json!({
            "sub": "user_2abc", "sid": "sess_1", "iss": "https://clerk.example.com", "azp": "https://app.example.com",
            "iat": now(), "nbf": now() - 5, "exp": now() + 60,
        });
        for (name, value) in claims.as_object().expect("an object") {
            all[name] = value.clone();
        }
        key.sign(&all)
    };
    let organisation = |rol: &str| json!({"v": 2, "o": {"id": "org_2xyz", "slg": "acme", "rol": rol, "per": "read"}});
    let good = [
        (json!({}), "user_2abc", Role::Admin),
        (organisation("admin"), "org_2xyz", Role::Admin),
        (organisation("member"), "org_2xyz", Role::Editor),
        (organisation("guest"), "org_2xyz", Role::Viewer),
        (json!({"org_id": "org_2xyz", "org_role": "org:admin", "org_slug": "acme"}), "org_2xyz", Role::Admin),
        (json!({"org_id": "org_2xyz", "org_role": "org:member"}), "org_2xyz", Role::Editor),
        (json!({"org_id": "org_2xyz"}), "org_2xyz", Role::Viewer),
    ];
    for (claims, tenant, role) in good {
        let mut api = app.token(&token(claims.clone())).await;
        let found = who(&mut api).await.expect("valid");
        assert_eq!(found, (tenant.to_owned(), role), "{claims}");
        // And the caller is told so: the tenant may be an organisation, the subject is a person all the same.
        let told = api.tenant.get_caller(pb::GetCallerRequest {}).await.expect("valid").into_inner().caller;
        let caller = pb::Caller {
            tenant_id: tenant.to_owned(),
            subject: "user_2abc".to_owned(),
            role: role.into(),
            proof: pb::Proof::Token.into(),
        };
        assert_eq!(told, Some(caller), "{claims}");
    }
    for bad in [
        json!({"sts": "pending"}),
        json!({"azp": "https://evil.example"}),
        json!({"azp": null}),
        json!({"iss": "https://other.example.com"}),
        json!({"exp": now() - 10}),
        json!({"nbf": now() + 30}),
    ] {
        invalid(&app, &token(bad)).await;
    }
}

#[tokio::test]
async fn a_token_is_remembered_until_it_expires_and_no_longer() {
    let key = SigningKey::new("k1", Algorithm::ES256);
    let issuer = Changing::serve(json_answer(key_set(&[&key]))).await;
    let app = start(|config| {
        config.auth.jwks_url.clone_from(&issuer.url);
        config.auth.leeway_seconds = 0;
    })
    .await;
    let token = key.sign(&json!({"sub": "user_a", "exp": now() + 3}));
    as_token(&app, &token).await.expect("valid");
    as_token(&app, &token).await.expect("remembered");
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    invalid(&app, &token).await;
}

#[tokio::test]
async fn a_header_is_trusted_from_the_listed_peers_alone() {
    let trusting = |peers: &str| {
        let peers = peers.parse().expect("a network");
        start(move |config| {
            config.auth.trusted_header = "x-user-id".to_owned();
            config.auth.trusted_peers = vec![peers];
        })
    };
    let app = trusting("127.0.0.0/8").await;
    assert_eq!(who(&mut app.user("user_a").await).await.expect("trusted"), ("user_a".to_owned(), Role::Admin));
    let status = who(&mut app.api(None, None).await).await.expect_err("no header");
    assert_eq!(reason(&status), "CREDENTIALS_MISSING");
    let app = trusting("10.0.0.0/8").await;
    let status = who(&mut app.user("user_a").await).await.expect_err("an unlisted peer");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "CREDENTIALS_MISSING"));
}

#[tokio::test]
async fn roles_are_where_the_configuration_says() {
    let files = folder();
    let path = files.path().join("key.pem");
    let key = SigningKey::new("", Algorithm::EdDSA);
    std::fs::write(&path, &key.public_pem).expect("written");
    let app = start(|config| {
        config.auth.public_key_file = path.display().to_string();
        config.auth.role_claim = "metadata.herald".to_owned();
        config.auth.admin_roles = vec!["boss".to_owned()];
    })
    .await;
    for (metadata, role) in [
        (json!({"herald": "boss"}), Role::Admin),
        (json!({"herald": "editor"}), Role::Editor),
        (json!({"herald": "admin"}), Role::Viewer),
        (json!({"herald": ["boss"]}), Role::Viewer),
        (json!({}), Role::Admin),
    ] {
        let claims = json!({"sub": "user_a", "exp": now() + 60, "metadata": metadata});
        assert_eq!(as_token(&app, &key.sign(&claims)).await.expect("valid").1, role, "{claims}");
    }
}
