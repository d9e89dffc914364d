//! Configuration: what is read from where, and what is said about mistakes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rstest::rstest;
use server::config::secret::GeneratedSecrets;
use server::config::source::{Origin, Sources};
use server::config::{AllowedHosts, Config, CorsOrigins, Environment, Loaded, LogFormat, example, setting};
use server::system::SystemEntropy;

const STRONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER_STRONG: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

fn load(variables: &[(&str, &str)]) -> Loaded {
    Config::load(&Sources::default().with_environment(variables.iter().copied())).unwrap()
}

fn mistakes(variables: &[(&str, &str)]) -> Vec<String> {
    Config::load(&Sources::default().with_environment(variables.iter().copied()))
        .unwrap_err()
        .0
}

fn production<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let base = [
        ("NODE_ENV", "production"),
        ("JWT_SECRET", STRONG),
        ("REFRESH_TOKEN_SECRET", OTHER_STRONG),
    ];
    base.iter().chain(more).copied().collect()
}

fn value<'a>(loaded: &'a Loaded, name: &str) -> (&'a str, Origin) {
    let row = loaded.effective.iter().find(|row| row.name == name).unwrap();
    (&row.value, row.origin)
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let Loaded { config, warnings, .. } = load(&[]);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.environment, Environment::Development);
    assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 3000));
    assert_eq!(config.data_dir.to_str(), Some("./data"));
    assert_eq!(
        (config.logs.level.as_str(), config.logs.format, config.logs.dir),
        ("info", None, None)
    );
    assert_eq!(config.auth.jwt_expires_in, Duration::from_secs(7 * 86_400));
    assert_eq!(
        config.auth.refresh_token_expires_in,
        Duration::from_secs(30 * 86_400)
    );
    assert_eq!(config.auth.bcrypt_cost, 10);
    assert_eq!(config.edge.cors_origins, CorsOrigins::Any);
    assert_eq!(
        (config.edge.max_body_bytes, config.edge.max_connections),
        (1_048_576, 10_000)
    );
    assert_eq!(config.edge.request_timeout, Duration::from_secs(30));
    assert_eq!(config.rate_limits.window, Duration::from_secs(900));
    assert_eq!(
        (
            config.rate_limits.max_requests,
            config.rate_limits.user_max_requests
        ),
        (100, 100_000)
    );
    assert_eq!(config.worker_concurrency, None);
    assert_eq!(config.task_retention, Duration::from_secs(30 * 86_400));
    assert_eq!(config.shutdown_grace, Duration::from_secs(25));
}

#[rstest]
#[case("0", 0)]
#[case("1", 1)]
#[case("1024", 1024)]
fn a_process_does_up_to_1024_tasks_at_once_or_none(#[case] text: &str, #[case] expected: u16) {
    let loaded = load(&[("WORKER_CONCURRENCY", text)]);
    assert_eq!(loaded.config.worker_concurrency, Some(expected));
}

#[rstest]
#[case("1m", Some(60))]
#[case("12h", Some(43_200))]
#[case("90000", Some(90))]
#[case("59s", None)]
#[case("36501d", None)]
#[case("for ever", None)]
fn ended_tasks_are_kept_for_a_minute_to_a_hundred_years(#[case] text: &str, #[case] seconds: Option<u64>) {
    match seconds {
        Some(seconds) => assert_eq!(
            load(&[("TASK_RETENTION", text)]).config.task_retention,
            Duration::from_secs(seconds)
        ),
        None => assert_eq!(mistakes(&[("TASK_RETENTION", text)]).len(), 1),
    }
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default() {
    let file = Sources::default().with_env_file("PORT=1111\n\nHOST=::1\nBCRYPT_COST=9\nLOG_FORMAT=json\n");
    let environment = file.with_environment([("PORT", "2222"), ("HOST", "0.0.0.0"), ("BCRYPT_COST", " ")]);
    let sources = environment.with_flags([("PORT".to_owned(), "3333".to_owned())]);
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(value(&loaded, "PORT"), ("3333", Origin::Flag));
    assert_eq!(value(&loaded, "HOST"), ("0.0.0.0", Origin::Environment));
    assert_eq!(value(&loaded, "LOG_FORMAT"), ("json", Origin::EnvFile(5)));
    assert_eq!(value(&loaded, "BCRYPT_COST"), ("10", Origin::Default));
    assert_eq!(value(&loaded, "DATA_DIR"), ("./data", Origin::Default));
    assert_eq!(loaded.config.logs.format, Some(LogFormat::Json));
}

#[test]
fn every_mistake_is_reported_at_once_in_a_line_of_its_own() {
    let found = mistakes(&[
        ("PORT", "eighty"),
        ("BCRYPT_COST", "17"),
        ("JWT_EXPIRES_IN", "7 years"),
        ("LOG_LEVEL", "loud"),
        ("TRUSTED_PROXIES", "10.0.0.0/40"),
        ("NODE_ENV", "staging"),
    ]);
    insta::assert_snapshot!(found.join("\n"), @r#"
    NODE_ENV: read "staging" from the environment; accepted: development, test or production
    PORT: read "eighty" from the environment; accepted: a whole number from 0 to 65535
    LOG_LEVEL: read "loud" from the environment; accepted: off, error, warn, info, debug, trace, and pairs such as engine=debug, separated by commas
    JWT_EXPIRES_IN: read "7 years" from the environment; accepted: a time from 1s to 366d: 30s, 15m, 12h, 7d, 2w, or a plain number of milliseconds
    BCRYPT_COST: read "17" from the environment; accepted: a whole number from 4 to 16
    TRUSTED_PROXIES: read "10.0.0.0/40" from the environment; accepted: networks such as 10.0.0.0/8 and addresses, separated by commas
    "#);
}

#[test]
fn numbers_outside_their_range_or_form_are_refused() {
    for text in [
        "-1",
        "+1",
        "1.0",
        "1e3",
        "0x10",
        "1_000",
        "65536",
        "18446744073709551616",
        "３０００",
    ] {
        assert_eq!(mistakes(&[("PORT", text)]).len(), 1, "{text}");
    }
    for (name, text) in [
        ("MAX_BODY_BYTES", "0"),
        ("MAX_BODY_BYTES", "1073741825"),
        ("REQUEST_TIMEOUT_MS", "30s"),
        ("RATE_LIMIT_MAX_REQUESTS", "0"),
        ("MAX_CONNECTIONS", "0"),
        ("SHUTDOWN_GRACE_MS", "600001"),
        ("WORKER_CONCURRENCY", "1025"),
        ("WORKER_CONCURRENCY", "-1"),
        ("WORKER_CONCURRENCY", "auto"),
        ("BCRYPT_COST", "3"),
    ] {
        assert_eq!(mistakes(&[(name, text)]).len(), 1, "{name}={text}");
    }
}

#[test]
fn lifetimes_are_written_with_a_unit_or_in_milliseconds() {
    for (text, seconds) in [
        ("30s", 30),
        ("15m", 900),
        ("12h", 43_200),
        ("7d", 604_800),
        ("2w", 1_209_600),
    ] {
        assert_eq!(
            load(&[("JWT_EXPIRES_IN", text)]).config.auth.jwt_expires_in,
            Duration::from_secs(seconds)
        );
    }
    for text in ["900000", "900000ms", "15 m"] {
        assert_eq!(
            load(&[("JWT_EXPIRES_IN", text)]).config.auth.jwt_expires_in,
            Duration::from_secs(900),
            "{text}"
        );
    }
    for text in ["0", "d", "-7d", "1.5h", "99999999999999d", "367d", "7D", "1d12h"] {
        assert_eq!(mistakes(&[("JWT_EXPIRES_IN", text)]).len(), 1, "{text}");
    }
}

#[test]
fn both_names_of_the_environment_count_unless_they_disagree() {
    let variables = production(&[]);
    let alias: Vec<_> = variables
        .iter()
        .map(|(name, value)| (if *name == "NODE_ENV" { "APP_ENV" } else { *name }, *value))
        .collect();
    assert_eq!(load(&alias).config.environment, Environment::Production);
    insta::assert_snapshot!(
        mistakes(&[("NODE_ENV", "development"), ("APP_ENV", "production")]).join("\n"),
        @r#"NODE_ENV: read "development" from the environment and APP_ENV "production"; accepted: one of them, or the same in both"#
    );
}

#[test]
fn production_refuses_missing_short_and_sample_secrets() {
    insta::assert_snapshot!(mistakes(&[("NODE_ENV", "production")]).join("\n"), @r"
    JWT_SECRET: not set; accepted in production: at least 32 random bytes, for example the output of: openssl rand -hex 32
    REFRESH_TOKEN_SECRET: not set; accepted in production: at least 32 random bytes, for example the output of: openssl rand -hex 32
    ");
    let weak = [
        ("JWT_SECRET", "too-short"),
        ("REFRESH_TOKEN_SECRET", "your-refresh-token-secret-of-some-length"),
    ];
    insta::assert_snapshot!(mistakes(&production(&weak)).join("\n"), @r"
    JWT_SECRET: shorter than 32 bytes from the environment; accepted: at least 32 random bytes, for example the output of: openssl rand -hex 32
    REFRESH_TOKEN_SECRET: a sample (it contains CHANGE-IN-PRODUCTION or your-) from the environment; accepted: at least 32 random bytes, for example the output of: openssl rand -hex 32
    ");
    let sample = "some-long-secret-CHANGE-IN-PRODUCTION-0123456789";
    assert_eq!(mistakes(&production(&[("JWT_SECRET", sample)])).len(), 1);
    assert_eq!(
        mistakes(&production(&[("REFRESH_TOKEN_SECRET", STRONG)])).len(),
        1
    );
    assert_eq!(
        mistakes(&production(&[("OPENAI_API_KEY", "sk-your-key-here")])).len(),
        1
    );
    assert_eq!(load(&production(&[])).config.environment, Environment::Production);
}

#[test]
fn development_uses_the_generated_secret_in_place_of_a_weak_one() {
    let loaded = load(&[("JWT_SECRET", "too-short")]);
    assert_eq!(loaded.config.auth.jwt_secret, None);
    insta::assert_snapshot!(loaded.warnings.join("\n"), @"JWT_SECRET: shorter than 32 bytes from the environment; accepted: at least 32 random bytes, for example the output of: openssl rand -hex 32 (the generated one is used instead)");
}

#[test]
fn a19_an_empty_short_or_sample_admin_key_is_never_accepted() {
    let samples = [
        "admin-key-CHANGE-IN-PRODUCTION-0123456789",
        "your-admin-api-key-of-thirty-two-bytes",
        "short",
        &"a".repeat(64),
    ];
    for sample in samples {
        let loaded = load(&[("ADMIN_API_KEY", sample)]);
        assert_eq!(loaded.config.auth.admin_api_key, None, "{sample}");
        assert!(
            loaded.warnings[0].ends_with("(the key is ignored)"),
            "{:?}",
            loaded.warnings
        );
        assert_eq!(
            mistakes(&production(&[("ADMIN_API_KEY", sample)])).len(),
            1,
            "{sample}"
        );
    }
    assert_eq!(load(&[("ADMIN_API_KEY", "")]).config.auth.admin_api_key, None);
    assert_eq!(mistakes(&production(&[("ADMIN_API_KEY", "  ")])).len(), 1);
    assert_eq!(
        load(&production(&[("ADMIN_API_KEY", STRONG)]))
            .config
            .auth
            .admin_api_key
            .unwrap()
            .expose(),
        STRONG
    );
}

const MONGODB: (&str, &str) = ("MONGODB_URI", "mongodb://127.0.0.1:27017/");

#[test]
fn nothing_is_shared_and_a_process_does_everything_unless_it_is_told_otherwise() {
    let config = load(&[]).config;
    assert!(config.shared.mongodb_uri.is_none() && config.shared.redis_url.is_none());
    assert!(config.roles.api && config.roles.worker);
}

#[rstest]
#[case("api", true, false)]
#[case("worker", false, true)]
#[case(" Worker , API ", true, true)]
fn a_process_on_a_shared_store_has_the_roles_that_it_is_given(
    #[case] text: &str,
    #[case] api: bool,
    #[case] worker: bool,
) {
    let roles = load(&[MONGODB, ("ROLES", text)]).config.roles;
    assert_eq!((roles.api, roles.worker), (api, worker));
}

#[test]
fn a_role_is_left_to_others_only_on_a_shared_store() {
    insta::assert_snapshot!(mistakes(&[("ROLES", "api")]).join("\n"), @r#"ROLES: read "api" from the environment; accepted without MONGODB_URI: api,worker, since the embedded store belongs to one process"#);
    assert_eq!(
        mistakes(&[("ROLES", "worker"), ("REDIS_URL", "redis://cache")]).len(),
        1
    );
    for text in ["none", ",", "api worker", "api,web"] {
        assert_eq!(mistakes(&[MONGODB, ("ROLES", text)]).len(), 1, "{text}");
    }
}

#[rstest]
#[case("", "mongodb://db", "mcp_server")]
#[case("", "mongodb://ada:a%2Fb@db1,db2:27018/tools?replicaSet=rs0", "tools")]
#[case("", "mongodb+srv://cluster.example/?authSource=admin", "mcp_server")]
#[case("given", "mongodb://db/tools", "given")]
fn the_database_is_the_one_that_is_named_or_that_of_the_address(
    #[case] name: &str,
    #[case] uri: &str,
    #[case] expected: &str,
) {
    let config = load(&[("MONGODB_URI", uri), ("DB_NAME", name)]).config;
    assert_eq!(config.shared.database_name(), expected);
}

#[test]
fn addresses_of_what_is_shared_are_checked_and_never_shown() {
    let refused = [
        ("MONGODB_URI", "postgres://canary@db"),
        ("MONGODB_URI", "canary:27017"),
        ("MONGODB_URI", "mongodb://"),
        ("REDIS_URL", "http://canary"),
        ("REDIS_URL", "redis://canary pass@cache"),
        ("DB_NAME", "a/b"),
        ("DB_NAME", "$admin"),
        ("DB_NAME", &"x".repeat(64)),
    ];
    for (name, text) in refused {
        let said = mistakes(&[(name, text)]);
        assert!(said.len() == 1 && said[0].starts_with(name), "{text}: {said:?}");
        assert!(!said[0].contains("canary"), "{said:?}");
    }
    let loaded = load(&[
        ("MONGODB_URI", "mongodb://ada:canary@db/?replicaSet=rs0"),
        ("REDIS_URL", "rediss-sentinel://:canary@s1,s2:26380/0#main"),
        ("REDIS_PASSWORD", "canary"),
    ]);
    for name in ["MONGODB_URI", "REDIS_URL", "REDIS_PASSWORD"] {
        assert_eq!(value(&loaded, name), ("********", Origin::Environment));
    }
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn what_works_for_one_process_only_is_warned_of() {
    insta::assert_snapshot!(load(&[("DB_NAME", "x"), ("REDIS_PASSWORD", "y")]).warnings.join("\n"), @r"
    DB_NAME has no effect without MONGODB_URI or REDIS_URL
    REDIS_PASSWORD has no effect without REDIS_URL
    ");
    insta::assert_snapshot!(load(&[MONGODB]).warnings.join("\n"), @r"
    REDIS_URL is not set: with several processes, each counts request limits by itself, and clients of MCP's earlier revisions must always reach the same one
    JWT_SECRET and REFRESH_TOKEN_SECRET: not set, so what was generated into DATA_DIR is used; every process on the same MongoDB needs the same
    ");
    let complete = [
        MONGODB,
        ("REDIS_URL", "redis://cache"),
        ("CORS_ORIGIN", "https://a.example"),
    ];
    assert_eq!(load(&production(&complete)).warnings, Vec::<String>::new());
}

#[test]
fn secrets_show_nowhere() {
    let canary = "canary with spaces that no key may have";
    let said = mistakes(&[
        ("ADMIN_API_KEY", canary),
        ("OPENAI_BASE_URL", "https://user:canary@llm.example/v1"),
    ]);
    assert_eq!(said.len(), 2);
    assert!(!said.join("\n").contains("canary"), "{said:?}");

    let loaded = load(&production(&[
        ("ADMIN_API_KEY", STRONG),
        ("ANTHROPIC_API_KEY", "canary"),
    ]));
    assert_eq!(value(&loaded, "JWT_SECRET").0, "********");
    let shown = format!("{loaded:?}");
    assert!(
        !shown.contains(STRONG) && !shown.contains(OTHER_STRONG) && !shown.contains("canary"),
        "{shown}"
    );
}

#[test]
fn the_file_knows_comments_quotes_and_export_and_substitutes_nothing() {
    let file = "\u{feff}# a comment\n\nexport HOST=localhost # here\n LLM_MODEL = \"a \\\"b\\\" $HOME\" # there\nDATA_DIR='./my data'\r\nOPENAI_API_KEY=a$b#c\nLOG_LEVEL=\n";
    let loaded = Config::load(&Sources::default().with_env_file(file)).unwrap();
    assert_eq!(loaded.config.host, "localhost");
    assert_eq!(loaded.config.llm.model.as_deref(), Some("a \"b\" $HOME"));
    assert_eq!(loaded.config.data_dir.to_str(), Some("./my data"));
    assert_eq!(loaded.config.llm.openai_api_key.unwrap().expose(), "a$b#c");
    assert_eq!(loaded.config.logs.level, "info");
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn a_line_of_the_file_that_is_not_understood_is_named_by_its_number() {
    let sources =
        Sources::default().with_env_file("PORT=80\nsecret without a name\nHOST='open\nLOG_DIR=\"x\" y\n");
    insta::assert_snapshot!(Config::load(&sources).unwrap_err().0.join("\n"), @r"
    .env line 2: accepted: NAME=value, a # comment or nothing
    .env line 3: accepted: NAME=value, a # comment or nothing
    .env line 4: accepted: NAME=value, a # comment or nothing
    ");
}

#[test]
fn misspelt_and_repeated_names_in_the_file_are_warned_of() {
    let file = "PROT=80\nJWT_SECERT=x\nRATE_LIMIT_MAX_REQUEST=5\nHOME=/root\nDB_PASSWORD=x\nPORT=1\nPORT=2\nport=3\n";
    let loaded = Config::load(&Sources::default().with_env_file(file)).unwrap();
    assert_eq!(loaded.config.port, 2);
    insta::assert_snapshot!(loaded.warnings.join("\n"), @r"
    PORT is set twice in .env, on lines 6 and 7: the last counts
    JWT_SECERT in .env line 2 is not a setting: did you mean JWT_SECRET?
    PROT in .env line 1 is not a setting: did you mean PORT?
    RATE_LIMIT_MAX_REQUEST in .env line 3 is not a setting: did you mean RATE_LIMIT_MAX_REQUESTS?
    port in .env line 8 is not a setting: did you mean PORT?
    ");
}

#[test]
fn f01_only_loopback_names_are_answered_unless_other_machines_can_connect() {
    let hosts = |variables: &[(&str, &str)]| load(variables).config.edge.allowed_hosts;
    let local = hosts(&[]);
    for name in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"] {
        assert!(local.contains(name), "{name}");
    }
    assert!(!local.contains("evil.example"));
    assert!(hosts(&[("HOST", "127.0.0.2")]).contains("127.0.0.2"));
    assert_eq!(hosts(&[("HOST", "0.0.0.0")]), AllowedHosts::Any);
    assert_eq!(hosts(&[("ALLOWED_HOSTS", "*")]), AllowedHosts::Any);
    let listed = hosts(&[
        ("HOST", "0.0.0.0"),
        ("ALLOWED_HOSTS", "Api.example.com, [2001:db8::1]"),
    ]);
    assert_eq!(
        listed,
        AllowedHosts::Listed(vec!["api.example.com".to_owned(), "2001:db8::1".to_owned()])
    );
    assert_eq!(mistakes(&[("ALLOWED_HOSTS", "api.example.com:443")]).len(), 1);
}

#[test]
fn origins_are_compared_in_one_form_and_a_star_stands_alone() {
    let loaded = load(&[(
        "CORS_ORIGIN",
        "https://App.Example.com:443/, http://localhost:5173",
    )]);
    let expected = ["https://app.example.com", "http://localhost:5173"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(loaded.config.edge.cors_origins, CorsOrigins::Listed(expected));
    for text in [
        "*, https://a.example",
        "null",
        "a.example",
        "https://a.example/path",
        "file:///x",
        ",",
    ] {
        assert_eq!(mistakes(&[("CORS_ORIGIN", text)]).len(), 1, "{text}");
    }
}

#[test]
fn hosts_and_base_urls_are_checked_before_they_are_used() {
    for text in ["256.0.0.1", "a b", "http://localhost", "-a.example", "a..b"] {
        assert_eq!(mistakes(&[("HOST", text)]).len(), 1, "{text}");
    }
    assert_eq!(load(&[("HOST", "[::1]")]).config.host, "::1");
    assert_eq!(
        load(&[("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1/")])
            .config
            .llm
            .openai_base_url,
        "http://127.0.0.1:8000/v1"
    );
    for text in [
        "ftp://a.example",
        "llm.example",
        "https://llm.example?key=1",
        "https://",
    ] {
        assert_eq!(mistakes(&[("OPENAI_BASE_URL", text)]).len(), 1, "{text}");
    }
}

#[test]
fn what_is_read_is_shown_escaped_and_cut() {
    let said = mistakes(&[("PORT", &format!("1\u{1b}[31m\n{}", "x".repeat(5_000)))]);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].len() < 400 && !said[0].chars().any(char::is_control),
        "{said:?}"
    );
}

#[test]
fn the_example_file_is_the_one_in_the_repository() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.env.example");
    let written = fs::read_to_string(path).unwrap();
    assert_eq!(
        written,
        example::env_example(),
        "write it anew with: mcp-server config --example > .env.example"
    );
}

#[test]
fn the_example_file_with_every_line_in_use_changes_nothing() {
    let in_use: String = example::env_example()
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
                .unwrap_or(line)
        })
        .fold(String::new(), |text, line| text + line + "\n");
    for setting in setting::SETTINGS {
        assert!(
            in_use.contains(&format!("\n{}=", setting.name)),
            "{}",
            setting.name
        );
    }
    let loaded = Config::load(&Sources::default().with_env_file(&in_use)).unwrap();
    assert_eq!(format!("{:?}", loaded.config), format!("{:?}", load(&[]).config));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn secrets_are_generated_once_and_readable_by_the_owner_only() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = root.path().join("a/data");
    let (first, warnings) = GeneratedSecrets::open(&data_dir, &SystemEntropy).unwrap();
    let (second, _) = GeneratedSecrets::open(&data_dir, &SystemEntropy).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(
        [&first.jwt, &first.refresh_token, &first.sealing],
        [&second.jwt, &second.refresh_token, &second.sealing]
    );
    assert!(first.jwt != first.refresh_token && first.jwt != first.sealing && first.jwt.expose().len() >= 43);
    assert_eq!(mode(&data_dir), 0o700);
    assert_eq!(mode(&data_dir.join("secrets.json")), 0o600);
    assert_eq!(
        fs::read_dir(&data_dir).unwrap().count(),
        1,
        "nothing is left beside the file"
    );
}

#[test]
fn secrets_that_others_could_read_are_closed_and_warned_of() {
    let data_dir = tempfile::tempdir().unwrap();
    let path = data_dir.path().join("secrets.json");
    drop(GeneratedSecrets::open(data_dir.path(), &SystemEntropy).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, warnings) = GeneratedSecrets::open(data_dir.path(), &SystemEntropy).unwrap();
    assert!(warnings[0].contains("mode 0644"), "{warnings:?}");
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn damaged_secrets_stop_the_start_instead_of_being_replaced() {
    let data_dir = tempfile::tempdir().unwrap();
    let path = data_dir.path().join("secrets.json");
    for content in [
        "",
        "{\"jwt\":\"",
        "{\"jwt\":\"a\",\"refreshToken\":\"b\",\"sealing\":\"c\"}",
    ] {
        fs::write(&path, content).unwrap();
        let error = GeneratedSecrets::open(data_dir.path(), &SystemEntropy).unwrap_err();
        assert!(error.to_string().contains("does not hold the secrets"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn two_processes_that_start_at_once_get_the_same_secrets() {
    let data_dir = tempfile::tempdir().unwrap();
    let open = || {
        GeneratedSecrets::open(data_dir.path(), &SystemEntropy)
            .unwrap()
            .0
            .jwt
    };
    let secrets = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        openers
            .into_iter()
            .map(|opener| opener.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(secrets.iter().all(|secret| *secret == open()));
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
