use http::HeaderValue;
use tempfile::TempDir;

use super::*;

fn head(headers: &HeaderMap) -> RequestHead<'_> {
    RequestHead {
        method: &http::Method::GET,
        path: "/v2/images",
        headers,
    }
}

pub(super) fn options() -> LocalOptions {
    LocalOptions {
        password_cost: PasswordCost {
            memory_kib: 8,
            passes: 1,
        },
        ..LocalOptions::new(Endpoint::parse("http://127.0.0.1:9292").unwrap())
    }
}

fn fresh() -> (TempDir, LocalIdentity, Secret) {
    let dir = tempfile::tempdir().unwrap();
    let (identity, bootstrap) = LocalIdentity::open(dir.path(), options()).unwrap();
    let bootstrap = bootstrap.unwrap();
    identity.write_client_files(Some(&bootstrap)).unwrap();
    (dir, identity, bootstrap.password)
}

fn by_name(name: &str) -> Reference {
    Reference::Name {
        name: name.to_owned(),
        domain: DomainReference::Id(DOMAIN_ID.to_owned()),
    }
}

fn password(user: &str, password: &Secret) -> Proof {
    Proof::Password {
        user: by_name(user),
        password: password.clone(),
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

async fn token(identity: &LocalIdentity, user: &str, secret: &Secret) -> String {
    identity
        .login(password(user, secret), WantedScope::Default)
        .await
        .unwrap()
        .0
        .expose()
        .to_owned()
}

fn with_token(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-auth-token", HeaderValue::from_str(token).unwrap());
    headers
}

fn user_add(name: &str, role: Role, secret: &Secret) -> AdminRequest {
    AdminRequest::UserAdd {
        name: name.to_owned(),
        project: None,
        role: Some(role),
        password: Some(secret.clone()),
    }
}

#[tokio::test]
async fn the_first_start_makes_an_administrator() {
    let (_dir, identity, admin) = fresh();
    let token = token(&identity, "admin", &admin).await;
    let caller = identity.identify(head(&with_token(&token))).await.unwrap();
    assert_eq!(caller.roles, ["admin", "member", "reader"]);
    assert_eq!(caller.scope, Scope::Project);
    assert_eq!(caller.project_name.as_deref(), Some("admin"));
    assert_eq!(identity.challenge(), "Keystone uri=\"http://127.0.0.1:9292/v3\"");
}

#[tokio::test]
async fn a_crash_before_the_password_was_told_gives_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (identity, first) = LocalIdentity::open(dir.path(), options()).unwrap();
    let id = identity.directory().user_named("admin").unwrap().id;
    drop(identity);
    let (identity, second) = LocalIdentity::open(dir.path(), options()).unwrap();
    let (first, second) = (first.unwrap().password, second.unwrap());
    assert_eq!(identity.directory().user_named("admin").unwrap().id, id);
    let refused = identity
        .login(password("admin", &first), WantedScope::Default)
        .await;
    assert_eq!(refused.unwrap_err(), LoginError::Refused);
    identity.write_client_files(Some(&second)).unwrap();
    drop(identity);
    let (identity, third) = LocalIdentity::open(dir.path(), options()).unwrap();
    assert!(third.is_none());
    token(&identity, "admin", &second.password).await;
}

#[tokio::test]
async fn a_password_that_the_operator_set_before_the_first_start_stays() {
    let dir = tempfile::tempdir().unwrap();
    let request = AdminRequest::UserPassword {
        name: "admin".to_owned(),
        password: Some(secret("mine")),
    };
    control::administer(dir.path(), request, options()).await.unwrap();
    let (identity, bootstrap) = LocalIdentity::open(dir.path(), options()).unwrap();
    assert!(bootstrap.is_none());
    token(&identity, "admin", &secret("mine")).await;
}

#[tokio::test]
async fn tokens_survive_a_restart_and_end_when_revoked() {
    let (dir, identity, admin) = fresh();
    let kept = token(&identity, "admin", &admin).await;
    let revoked = token(&identity, "admin", &admin).await;
    identity.revoke(&revoked).await.unwrap();
    assert_eq!(
        identity.validate(&revoked).await.unwrap_err(),
        Unidentified::Invalid
    );
    drop(identity);
    let (identity, _) = LocalIdentity::open(dir.path(), options()).unwrap();
    assert!(identity.validate(&kept).await.is_ok());
    assert_eq!(
        identity.validate(&revoked).await.unwrap_err(),
        Unidentified::Invalid
    );
}

#[tokio::test]
async fn no_token_is_stored_in_clear() {
    let (dir, identity, admin) = fresh();
    let token = token(&identity, "admin", &admin).await;
    drop(identity);
    for entry in std::fs::read_dir(dir.path().join("identity")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in [token.as_bytes(), admin.expose().as_bytes()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_refused_and_purged() {
    let dir = tempfile::tempdir().unwrap();
    let brief = LocalOptions {
        token_lifetime: Duration::ZERO,
        ..options()
    };
    let (identity, bootstrap) = LocalIdentity::open(dir.path(), brief).unwrap();
    let refused = identity
        .login(
            password("admin", &bootstrap.unwrap().password),
            WantedScope::Default,
        )
        .await;
    assert_eq!(refused.unwrap_err(), LoginError::Refused);

    let user = identity.directory().user_named("admin").unwrap().id;
    let hashes: Vec<_> = (0..2500)
        .map(|_| TokenHash::of(Secret::random().unwrap().expose()).unwrap())
        .collect();
    for (expires_at, hash) in (1..).zip(&hashes) {
        let token = Token {
            user,
            project: None,
            issued_at: 0,
            expires_at,
            method: Method::Password,
            audit: [0; 16],
            audit_chain: None,
            generation: 0,
        };
        identity.0.database.put_token(hash, &token).unwrap();
    }
    assert_eq!(identity.0.database.purge(2001).unwrap(), 2000);
    assert_eq!(identity.0.database.purge(2001).unwrap(), 0);
    assert!(identity.0.database.token(&hashes[1999]).unwrap().is_none());
    assert!(identity.0.database.token(&hashes[2000]).unwrap().is_some());
}

#[tokio::test]
async fn refuses_wrong_passwords_unknown_users_and_disabled_ones_alike() {
    let (_dir, identity, admin) = fresh();
    identity
        .administer(user_add("ada", Role::Member, &secret("x")))
        .await
        .unwrap();
    let before = token(&identity, "ada", &secret("x")).await;
    let switch = |to| AdminRequest::UserSwitch {
        name: "ada".to_owned(),
        to,
    };
    identity.administer(switch(Switch::Disabled)).await.unwrap();
    assert_eq!(
        identity.validate(&before).await.unwrap_err(),
        Unidentified::Invalid
    );
    for (user, given) in [
        ("ada", &secret("x")),
        ("admin", &secret("x")),
        ("nobody", &admin),
        ("admin", &secret("")),
    ] {
        let refused = identity.login(password(user, given), WantedScope::Default).await;
        assert_eq!(refused.unwrap_err(), LoginError::Refused, "{user}");
    }
    identity.administer(switch(Switch::Enabled)).await.unwrap();
    token(&identity, "ada", &secret("x")).await;
    assert_eq!(
        identity.validate(&before).await.unwrap_err(),
        Unidentified::Invalid
    );
}

#[tokio::test]
async fn roles_and_passwords_change_at_once() {
    let (_dir, identity, _) = fresh();
    identity
        .administer(user_add("ada", Role::Reader, &secret("x")))
        .await
        .unwrap();
    let token = token(&identity, "ada", &secret("x")).await;
    let roles = async || {
        identity
            .validate(&token)
            .await
            .map(|session| session.roles.to_string())
    };
    assert_eq!(roles().await.as_deref(), Ok("reader"));
    let role = |role| ("ada".to_owned(), "ada".to_owned(), role);
    let (user, project, role) = role(Role::Member);
    identity
        .administer(AdminRequest::RoleAdd { user, project, role })
        .await
        .unwrap();
    assert_eq!(roles().await.as_deref(), Ok("member,reader"));
    for role in [Role::Member, Role::Reader] {
        let (user, project) = ("ada".to_owned(), "ada".to_owned());
        identity
            .administer(AdminRequest::RoleRemove { user, project, role })
            .await
            .unwrap();
    }
    assert_eq!(roles().await, Err(Unidentified::Invalid));
    let (user, project, role) = ("ada".to_owned(), "ada".to_owned(), Role::Member);
    identity
        .administer(AdminRequest::RoleAdd { user, project, role })
        .await
        .unwrap();
    assert!(roles().await.is_ok());
    let request = AdminRequest::UserPassword {
        name: "ada".to_owned(),
        password: Some(secret("y")),
    };
    identity.administer(request).await.unwrap();
    assert_eq!(roles().await, Err(Unidentified::Invalid));
}

#[tokio::test]
async fn scopes_follow_keystone() {
    let (_dir, identity, admin) = fresh();
    identity
        .administer(AdminRequest::ProjectAdd {
            name: "other".to_owned(),
        })
        .await
        .unwrap();
    let scoped = async |wanted| {
        identity
            .login(password("admin", &admin), wanted)
            .await
            .map(|(_, session)| session)
    };
    assert!(scoped(WantedScope::Unscoped).await.unwrap().project.is_none());
    assert!(scoped(WantedScope::Default).await.unwrap().project.is_some());
    assert!(scoped(WantedScope::Project(by_name("admin"))).await.is_ok());
    for refused in [
        by_name("other"),
        by_name("none"),
        Reference::Id("../etc".to_owned()),
    ] {
        assert_eq!(
            scoped(WantedScope::Project(refused)).await.unwrap_err(),
            LoginError::Refused
        );
    }
    let elsewhere = Reference::Name {
        name: "admin".to_owned(),
        domain: DomainReference::Name("Other".to_owned()),
    };
    assert_eq!(
        scoped(WantedScope::Project(elsewhere)).await.unwrap_err(),
        LoginError::Refused
    );
    assert_eq!(
        scoped(WantedScope::Elsewhere).await.unwrap_err(),
        LoginError::Refused
    );
}

#[tokio::test]
async fn a_token_made_of_a_token_expires_with_it() {
    let (_dir, identity, admin) = fresh();
    let (unscoped, first) = identity
        .login(password("admin", &admin), WantedScope::Unscoped)
        .await
        .unwrap();
    let wanted = WantedScope::Project(by_name("admin"));
    let (_, second) = identity.login(Proof::Token(unscoped), wanted).await.unwrap();
    assert_eq!(second.token.expires_at, first.token.expires_at);
    assert_eq!(second.token.audit_chain, Some(first.token.audit));
    assert_eq!(second.roles.to_string(), "admin,member,reader");
}

#[tokio::test]
async fn never_locks_the_last_administrator_out() {
    let (_dir, identity, _) = fresh();
    let attempts = [
        AdminRequest::UserRemove {
            name: "admin".to_owned(),
        },
        AdminRequest::UserSwitch {
            name: "admin".to_owned(),
            to: Switch::Disabled,
        },
        AdminRequest::RoleRemove {
            user: "admin".to_owned(),
            project: "admin".to_owned(),
            role: Role::Admin,
        },
    ];
    for attempt in &attempts {
        let error = identity.administer(attempt.clone()).await.unwrap_err();
        assert_eq!(error.kind, AdminErrorKind::Refused, "{attempt:?}");
    }
    identity
        .administer(user_add("root", Role::Admin, &secret("x")))
        .await
        .unwrap();
    identity.administer(attempts[0].clone()).await.unwrap();
    assert!(identity.directory().user_named("admin").is_none());
}

#[tokio::test]
async fn a_user_never_joins_a_project_by_accident() {
    let (_dir, identity, _) = fresh();
    identity
        .administer(AdminRequest::ProjectAdd {
            name: "ada".to_owned(),
        })
        .await
        .unwrap();
    let error = identity
        .administer(user_add("ada", Role::Member, &secret("x")))
        .await
        .unwrap_err();
    assert_eq!(error.kind, AdminErrorKind::Exists);
    assert!(error.to_string().contains("--project ada"), "{error}");
}

#[tokio::test]
async fn random_tokens_take_no_memory() {
    let (_dir, identity, admin) = fresh();
    let known = token(&identity, "admin", &admin).await;
    for _ in 0..10_000 {
        let random = Secret::random().unwrap();
        assert_eq!(
            identity.validate(random.expose()).await.unwrap_err(),
            Unidentified::Invalid
        );
    }
    assert_eq!(identity.0.cache.len(), 1);
    assert!(identity.validate(&known).await.is_ok());
}

#[tokio::test]
async fn a_service_token_must_have_the_service_role() {
    let (_dir, identity, admin) = fresh();
    identity
        .administer(user_add("nova", Role::Service, &secret("x")))
        .await
        .unwrap();
    let user = token(&identity, "admin", &admin).await;
    let service = token(&identity, "nova", &secret("x")).await;
    let mut headers = with_token(&user);
    headers.insert("x-service-token", HeaderValue::from_str(&service).unwrap());
    assert_eq!(
        identity.identify(head(&headers)).await.unwrap().service_roles(),
        ["service"]
    );
    headers.insert("x-service-token", HeaderValue::from_str(&user).unwrap());
    assert_eq!(
        identity.identify(head(&headers)).await,
        Err(Unidentified::Invalid)
    );
}

#[tokio::test]
async fn one_process_at_a_time() {
    let (dir, _identity, _) = fresh();
    assert!(matches!(
        LocalIdentity::open(dir.path(), options()),
        Err(OpenError::InUse(_))
    ));
}

#[tokio::test]
async fn administration_works_with_and_without_a_daemon() {
    let (dir, identity, _) = fresh();
    let listener = control::bind(dir.path()).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let daemon = tokio::spawn(control::serve(listener, identity, async { drop(stopped.await) }));
    let add = |name: &str| AdminRequest::UserAdd {
        name: name.to_owned(),
        project: None,
        role: None,
        password: None,
    };
    let reply = control::administer(dir.path(), add("ada"), options())
        .await
        .unwrap();
    let printed = reply.to_string();
    assert!(
        printed.contains("name      ada\nroles     ada:member\npassword  "),
        "{printed}"
    );
    assert!(!format!("{reply:?}").contains(printed.rsplit(' ').next().unwrap()));
    let error = control::administer(dir.path(), add("ada"), options())
        .await
        .unwrap_err();
    assert_eq!(error.kind, AdminErrorKind::Exists);
    stop.send(()).unwrap();
    daemon.await.unwrap();

    control::administer(dir.path(), add("bob"), options())
        .await
        .unwrap();
    let AdminReply::Users(users) = control::administer(dir.path(), AdminRequest::UserList, options())
        .await
        .unwrap()
    else {
        panic!("not users");
    };
    assert_eq!(
        users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(),
        ["ada", "admin", "bob"]
    );
    let table = AdminReply::Users(users).to_string();
    assert!(
        table.starts_with("ID                                NAME   ENABLED  ROLES\n"),
        "{table}"
    );
}

#[tokio::test]
async fn a_reopened_database_has_what_was_acknowledged() {
    let (_dir, identity, admin) = fresh();
    let token = token(&identity, "admin", &admin).await;
    identity.0.database.pretend_a_write_failed();
    identity
        .administer(user_add("ada", Role::Member, &secret("x")))
        .await
        .unwrap();
    assert!(!identity.0.database.has_failed());
    assert!(identity.validate(&token).await.is_ok());
    assert!(identity.directory().user_named("ada").is_some());
}

#[tokio::test]
async fn reads_open_a_closed_database_again() {
    let (dir, identity, admin) = fresh();
    let token = token(&identity, "admin", &admin).await;
    drop(identity);
    let (identity, _) = LocalIdentity::open(dir.path(), options()).unwrap();
    identity.0.database.pretend_reopening_failed();
    assert!(identity.validate(&token).await.is_ok());
}

#[tokio::test]
async fn a_socket_that_a_killed_daemon_left_stands_in_nobodys_way() {
    let (dir, identity, _) = fresh();
    drop(control::bind(dir.path()).unwrap());
    drop(identity);
    assert!(
        control::administer(dir.path(), AdminRequest::ProjectList, options())
            .await
            .is_ok()
    );
    let (_identity, _) = LocalIdentity::open(dir.path(), options()).unwrap();
    assert!(control::bind(dir.path()).is_ok());
}

#[tokio::test]
async fn refuses_a_damaged_or_foreign_database_and_changes_nothing() {
    for (key, value) in [
        (&b"uuuuuuuuuuuuuuuuu"[..], &b"\x01junk"[..]),
        (b"ushort", b"\x01"),
        (b"guuuuuuuuuuuuuuuupppppppppppppppp", b"\x01\xff"),
        (b"b", b"?"),
        (b"v", b"\x09"),
    ] {
        let (dir, identity, _) = fresh();
        drop(identity);
        let path = dir.path().join("identity");
        rocksdb::DB::open_default(&path).unwrap().put(key, value).unwrap();
        let error = LocalIdentity::open(dir.path(), options()).unwrap_err();
        assert!(matches!(error, OpenError::Contents { .. }), "{error}");
        assert_eq!(
            rocksdb::DB::open_default(&path)
                .unwrap()
                .get(key)
                .unwrap()
                .as_deref(),
            Some(value)
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    rocksdb::DB::open_default(&path)
        .unwrap()
        .put("theirs", "x")
        .unwrap();
    assert!(matches!(
        LocalIdentity::open(dir.path(), options()),
        Err(OpenError::Contents { .. })
    ));
}

#[tokio::test]
async fn the_catalog_of_local_users_has_this_daemon_alone() {
    let (_dir, identity, admin) = fresh();
    let token = token(&identity, "admin", &admin).await;
    let found = identity.delegation(&with_token(&token)).await.unwrap().unwrap();
    assert_eq!(
        found.image_endpoint("regionone", "internal"),
        Some("http://127.0.0.1:9292")
    );
    assert_eq!(found.token().expose(), token);
    assert!(identity.delegation(&with_token("unknown")).await.is_err());
}
