//! Accounts.

use engine::{PageQuery, ProfileChange, Registration};
use model::{
    Direction, Email, ErrorCode, FoldedText, PageLimit, Permission, Principal, Role, Secret, Sort,
    UserChange, UserFilter, UserSort, Username,
};
use rstest::rstest;
use serde_json::json;

use crate::{
    fixture::{PASSWORD, World, client, code, first_page, registration},
    shop::Shop,
};

fn with_role(role: Role) -> UserChange {
    UserChange {
        role: Some(role),
        ..UserChange::default()
    }
}

fn with_activity(is_active: bool) -> UserChange {
    UserChange {
        is_active: Some(is_active),
        ..UserChange::default()
    }
}

fn rename(name: &str) -> UserChange {
    UserChange {
        username: Some(Username::parse(name).unwrap()),
        ..UserChange::default()
    }
}

#[tokio::test]
async fn anyone_may_register_and_is_signed_in() {
    let world = World::new();
    let signed_in = world
        .engine
        .register(None, registration("ada"), &client())
        .await
        .unwrap();
    let user = &signed_in.user;
    assert_eq!((user.role, user.is_active), (Role::User, true));
    assert!(!user.is_email_verified);
    assert!(world.bearer(signed_in.tokens.access.expose()).await.is_ok());
    world.sign_in("ada").await;
}

#[rstest]
#[case(Role::Developer)]
#[case(Role::Admin)]
#[tokio::test]
async fn a01_only_an_admin_makes_accounts_with_other_roles(#[case] role: Role) {
    let world = World::new();
    let (admin, user) = (world.admin("root").await, world.person("ada").await);
    let registration = Registration {
        role: Some(role),
        ..registration("new")
    };
    for principal in [None, Some(&*user.principal)] {
        let refused = world
            .engine
            .register(principal, registration.clone(), &client())
            .await;
        assert_eq!(code(refused), ErrorCode::Forbidden);
        assert_eq!(
            code(world.try_sign_in("new", PASSWORD).await),
            ErrorCode::InvalidCredentials
        );
    }
    let made = world
        .engine
        .register(Some(&admin.principal), registration, &client())
        .await;
    assert_eq!(made.unwrap().user.role, role);
}

#[tokio::test]
async fn an_account_can_be_made_without_a_session() {
    let world = World::new();
    let wish = Registration {
        role: Some(Role::Admin),
        ..registration("root")
    };
    let ada = world.person("ada").await;
    let refused = world.engine.create_account(&ada.principal, wish.clone()).await;
    assert_eq!(code(refused), ErrorCode::Forbidden);
    let operator = Principal::command_line();
    let made = world.engine.create_account(&operator, wish).await.unwrap();
    assert_eq!((made.role, made.last_login), (Role::Admin, None));
    assert_eq!(world.store.close_sessions(made.id).await.unwrap(), 0);
    assert_eq!(world.seen.count("Registered"), 2);
    assert!(world.sign_in("root").await.principal.is_admin());
}

#[rstest]
#[case::other_case("ADA@EXAMPLE.ORG", "someone")]
#[case::full_width("ａｄａ@example.org", "someone")]
#[case::name_in_other_case("someone@example.org", "Ada")]
#[case::name_in_full_width("someone@example.org", "ａｄａ")]
#[tokio::test]
async fn a03_an_address_or_name_that_looks_like_a_taken_one_is_taken(
    #[case] email: &str,
    #[case] username: &str,
) {
    let world = World::new();
    world.person("ada").await;
    let registration = Registration {
        email: Email::parse(email).unwrap(),
        username: Username::parse(username).unwrap(),
        ..registration("x")
    };
    let refused = world.engine.register(None, registration, &client()).await;
    assert_eq!(code(refused), ErrorCode::AlreadyExists);
}

#[tokio::test]
async fn a04_a22_of_fifty_registrations_of_one_address_at_once_one_is_made() {
    let world = World::new();
    let client = client();
    let attempts = (0..50).map(|number| {
        let username = Username::parse(&format!("ada{number}")).unwrap();
        let registration = Registration {
            username,
            ..registration("ada")
        };
        world.engine.register(None, registration, &client)
    });
    let answers = futures_util::future::join_all(attempts).await;
    let refused: Vec<_> = answers
        .into_iter()
        .filter_map(Result::err)
        .map(|e| e.code())
        .collect();
    assert_eq!(refused, [ErrorCode::AlreadyExists; 49]);
}

#[rstest]
#[case::too_short("1234567", "8 characters")]
#[case::too_long(&"a".repeat(1025), "1,024 bytes")]
#[tokio::test]
async fn a05_a_password_outside_the_limits_is_refused_with_the_limit(
    #[case] password: &str,
    #[case] limit: &str,
) {
    let world = World::new();
    let registration = Registration {
        password: Secret::new(password),
        ..registration("ada")
    };
    let refused = world
        .engine
        .register(None, registration, &client())
        .await
        .unwrap_err();
    assert_eq!(refused.details()[0].path, "password");
    assert!(refused.message().contains(limit), "{refused}");
}

#[rstest]
#[case("a".repeat(71))]
#[case("a".repeat(72))]
#[case("a".repeat(73))]
#[case("a".repeat(1024))]
#[case("nul\0inside".into())]
#[case("\u{1f511}".repeat(20))]
#[tokio::test]
async fn a05_any_other_password_signs_in_and_nothing_shorter_does(#[case] password: String) {
    let world = World::new();
    let registration = Registration {
        password: Secret::new(password.as_str()),
        ..registration("ada")
    };
    world
        .engine
        .register(None, registration, &client())
        .await
        .unwrap();
    assert!(world.try_sign_in("ada", &password).await.is_ok());
    let mut cut = password;
    cut.pop();
    assert_eq!(
        code(world.try_sign_in("ada", &cut).await),
        ErrorCode::InvalidCredentials
    );
}

#[tokio::test]
async fn owners_change_their_address_name_and_metadata() {
    let world = World::new();
    let ada = world.person("ada").await;
    let metadata = json!({"$set": {"a.b": [1, 2.5]}, "__proto__": null, "": "empty"});
    let change = ProfileChange {
        email: Some(Email::parse("countess@example.org").unwrap()),
        username: Some(Username::parse("Ada.Lovelace").unwrap()),
        metadata: Some(metadata.as_object().cloned()),
    };
    world.engine.update_profile(&ada.principal, change).await.unwrap();
    let user = world.engine.profile(&ada.principal).await.unwrap();
    assert_eq!(user.email.as_str(), "countess@example.org");
    assert_eq!(user.username.as_str(), "Ada.Lovelace");
    assert_eq!(
        serde_json::to_string(&user.metadata).unwrap(),
        metadata.to_string()
    );
    let without = ProfileChange {
        metadata: Some(None),
        ..ProfileChange::default()
    };
    let user = world
        .engine
        .update_profile(&ada.principal, without)
        .await
        .unwrap();
    assert_eq!(user.metadata, None);
}

#[tokio::test]
async fn c08_metadata_beyond_the_limits_is_refused_and_nothing_changes() {
    let world = World::new();
    let ada = world.person("ada").await;
    let keys = (0..10_000).map(|number| (number.to_string(), json!(0))).collect();
    let change = ProfileChange {
        username: Some(Username::parse("other").unwrap()),
        metadata: Some(Some(keys)),
        ..ProfileChange::default()
    };
    let refused = world
        .engine
        .update_profile(&ada.principal, change)
        .await
        .unwrap_err();
    assert_eq!(refused.details()[0].path, "metadata");
    assert!(refused.message().contains("1,000 keys"), "{refused}");
    let user = world.engine.profile(&ada.principal).await.unwrap();
    assert_eq!(user.username.as_str(), "ada");
}

#[tokio::test]
async fn a_taken_name_can_not_be_taken_over() {
    let world = World::new();
    world.person("ada").await;
    let bob = world.person("bob").await;
    let id = bob.signed_in.user.id;
    let refused = world.engine.update_user(&bob.principal, id, rename("ADA")).await;
    assert_eq!(code(refused), ErrorCode::AlreadyExists);
}

#[tokio::test]
async fn b01_another_persons_account_is_as_if_it_were_not_there() {
    let world = World::new();
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let id = ada.signed_in.user.id;
    assert_eq!(
        code(world.engine.user(&bob.principal, id).await),
        ErrorCode::NotFound
    );
    for change in [rename("mine"), with_role(Role::Admin), with_activity(false)] {
        let refused = world.engine.update_user(&bob.principal, id, change).await;
        assert_eq!(code(refused), ErrorCode::NotFound);
    }
    let list = world
        .engine
        .list_users(
            &bob.principal,
            UserFilter::default(),
            first_page(UserSort::CreatedAt),
        )
        .await;
    assert_eq!(code(list), ErrorCode::Forbidden);
    assert_eq!(
        code(world.engine.delete_user(&bob.principal, id).await),
        ErrorCode::Forbidden
    );
    assert_eq!(
        code(world.engine.user_overview(&bob.principal).await),
        ErrorCode::Forbidden
    );
    assert_eq!(world.engine.profile(&ada.principal).await.unwrap().id, id);
}

#[tokio::test]
async fn nobody_but_an_admin_changes_its_own_standing() {
    let world = World::new();
    let ada = world.person("ada").await;
    let id = ada.signed_in.user.id;
    for change in [
        with_role(Role::Admin),
        with_role(Role::User),
        with_activity(false),
    ] {
        let refused = world.engine.update_user(&ada.principal, id, change).await;
        assert_eq!(code(refused), ErrorCode::Forbidden);
    }
}

#[tokio::test]
async fn a14_a_demoted_user_has_its_new_role_at_the_next_request() {
    let world = World::new();
    let (root, other) = (world.admin("root").await, world.admin("other").await);
    let change = with_role(Role::User);
    let id = other.signed_in.user.id;
    world
        .engine
        .update_user(&root.principal, id, change)
        .await
        .unwrap();
    let principal = world.bearer(other.token()).await.unwrap();
    assert_eq!(
        code(principal.require(&Permission::ReadAllAccounts)),
        ErrorCode::Forbidden
    );
}

#[tokio::test]
async fn a14_a_deactivated_or_deleted_user_loses_access_at_the_next_request() {
    let world = World::new();
    let admin = world.admin("root").await;
    let (ada, bob) = (world.person("ada").await, world.person("bob").await);
    let id = ada.signed_in.user.id;
    world
        .engine
        .update_user(&admin.principal, id, with_activity(false))
        .await
        .unwrap();
    assert_eq!(code(world.bearer(ada.token()).await), ErrorCode::InvalidToken);
    world
        .engine
        .update_user(&admin.principal, id, with_activity(true))
        .await
        .unwrap();
    assert_eq!(code(world.bearer(ada.token()).await), ErrorCode::InvalidToken);

    let id = bob.signed_in.user.id;
    assert_eq!(
        world.engine.delete_user(&admin.principal, id).await.unwrap().id,
        id
    );
    assert_eq!(code(world.bearer(bob.token()).await), ErrorCode::InvalidToken);
    assert_eq!(
        code(world.engine.user(&admin.principal, id).await),
        ErrorCode::NotFound
    );
    assert_eq!(
        code(world.engine.delete_user(&admin.principal, id).await),
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn a14_a_new_password_ends_the_other_sessions_at_once() {
    let world = World::new();
    let (ada, elsewhere) = (world.person("ada").await, world.sign_in("ada").await);
    let (current, new) = (Secret::new(PASSWORD), Secret::new("another password"));
    world
        .engine
        .change_password(&ada.principal, current, new, &client())
        .await
        .unwrap();
    assert!(world.bearer(ada.token()).await.is_ok());
    assert_eq!(
        code(world.bearer(elsewhere.token()).await),
        ErrorCode::InvalidToken
    );
    let renewed = world
        .engine
        .renew_session(elsewhere.refresh_token(), &client())
        .await;
    assert_eq!(code(renewed), ErrorCode::InvalidToken);
    assert_eq!(
        code(world.try_sign_in("ada", PASSWORD).await),
        ErrorCode::InvalidCredentials
    );
    assert!(world.try_sign_in("ada", "another password").await.is_ok());
}

#[tokio::test]
async fn a14_an_account_is_never_inactive_with_sessions_that_wait_for_it() {
    let shop = Shop::open();
    let (admin, ada) = (shop.admin("root").await, shop.person("ada").await);
    let id = ada.signed_in.user.id;
    shop.store.fail("close_sessions");
    for is_active in [false, true] {
        let change = with_activity(is_active);
        let changed = shop.engine.update_user(&admin.principal, id, change).await;
        assert_eq!(changed.unwrap().is_active, is_active);
    }
    assert_eq!(code(shop.bearer(ada.token()).await), ErrorCode::InvalidToken);
}

#[tokio::test]
async fn a08_a_stolen_session_can_not_try_out_passwords() {
    let world = World::new();
    let ada = world.person("ada").await;
    let client = client();
    let change = |current: &str| {
        let (current, new) = (Secret::new(current), Secret::new("another password"));
        world
            .engine
            .change_password(&ada.principal, current, new, &client)
    };
    for _ in 0..5 {
        assert_eq!(code(change("not mine").await), ErrorCode::InvalidCredentials);
    }
    assert_eq!(code(change(PASSWORD).await), ErrorCode::RateLimited);
    assert!(
        world.try_sign_in("ada", PASSWORD).await.is_ok(),
        "signing in counts apart"
    );
}

#[tokio::test]
async fn a18_the_last_admin_can_not_be_deleted_demoted_or_deactivated() {
    let world = World::new();
    let admin = world.admin("root").await;
    let id = admin.signed_in.user.id;
    for change in [with_role(Role::Developer), with_activity(false)] {
        let refused = world.engine.update_user(&admin.principal, id, change).await;
        assert_eq!(code(refused), ErrorCode::LastAdmin);
    }
    assert_eq!(
        code(world.engine.delete_user(&admin.principal, id).await),
        ErrorCode::LastAdmin
    );
    assert!(world.bearer(admin.token()).await.unwrap().is_admin());
}

#[tokio::test]
async fn admins_list_all_accounts_page_by_page() {
    let world = World::new();
    let admin = world.admin("root").await;
    for name in ["ada", "bob", "cyd", "dan"] {
        world.person(name).await;
    }
    let mut query = PageQuery {
        limit: PageLimit::new(2).unwrap(),
        sort: Sort {
            field: UserSort::Username,
            direction: Direction::Descending,
        },
        cursor: None,
    };
    let mut names = Vec::new();
    loop {
        let page = world
            .engine
            .list_users(&admin.principal, UserFilter::default(), query.clone());
        let page = page.await.unwrap();
        assert_eq!(page.total, 5);
        names.extend(page.items.iter().map(|user| user.username.to_string()));
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(names, ["root", "dan", "cyd", "bob", "ada"]);
}

#[tokio::test]
async fn c09_a_cursor_leads_on_in_its_own_list_only() {
    let world = World::new();
    let (admin, other) = (world.admin("root").await, world.admin("other").await);
    world.person("ada").await;
    let query = |cursor| PageQuery {
        limit: PageLimit::new(1).unwrap(),
        cursor,
        ..first_page(UserSort::CreatedAt)
    };
    let all = UserFilter::default();
    let page = world
        .engine
        .list_users(&admin.principal, all.clone(), query(None))
        .await
        .unwrap();
    let cursor = page.next_cursor;
    let admins = UserFilter {
        role: Some(Role::Admin),
        ..UserFilter::default()
    };
    for (principal, filter) in [(&admin.principal, admins), (&other.principal, all.clone())] {
        let refused = world.engine.list_users(principal, filter, query(cursor.clone()));
        assert_eq!(refused.await.unwrap_err().details()[0].path, "cursor");
    }
    assert!(
        world
            .engine
            .list_users(&admin.principal, all, query(cursor))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_search_takes_its_text_literally() {
    let world = World::new();
    let admin = world.admin("root").await;
    world.person("ada").await;
    for (text, found) in [("AD", 1), ("%", 0), ("a.a", 0), ("(a+)+$", 0), ("@example", 2)] {
        let filter = UserFilter {
            contains: Some(FoldedText::of(text)),
            ..UserFilter::default()
        };
        let page = world
            .engine
            .list_users(&admin.principal, filter, first_page(UserSort::Email));
        assert_eq!(page.await.unwrap().total, found, "{text}");
    }
}

#[tokio::test]
async fn the_overview_counts_accounts_by_role_and_day() {
    let world = World::new();
    let admin = world.admin("root").await;
    world.person("ada").await;
    let overview = world.engine.user_overview(&admin.principal).await.unwrap();
    assert_eq!(
        (overview.total, overview.active, overview.by_role),
        (2, 2, [1, 0, 1])
    );
    assert_eq!(overview.days.len(), 30);
    let today = overview.days.last().unwrap();
    assert_eq!((today.new, today.active), (2, 2));
}

#[tokio::test]
async fn the_command_line_and_nobody_else_sets_the_password_of_another() {
    let world = World::new();
    let (admin, ada) = (world.admin("root").await, world.person("ada").await);
    let email = Email::parse("Ada@example.org").unwrap();
    let new = || Secret::new("another password");
    for principal in [&*admin.principal, &Principal::admin_key()] {
        let refused = world.engine.reset_password(principal, &email, new()).await;
        assert_eq!(code(refused), ErrorCode::WrongCredential);
    }
    let operator = Principal::command_line();
    world
        .engine
        .reset_password(&operator, &email, new())
        .await
        .unwrap();
    assert_eq!(code(world.bearer(ada.token()).await), ErrorCode::InvalidToken);
    assert!(world.try_sign_in("ada", "another password").await.is_ok());
    let nobody = Email::parse("nobody@example.org").unwrap();
    let refused = world.engine.reset_password(&operator, &nobody, new()).await;
    assert_eq!(code(refused), ErrorCode::NotFound);
}

#[tokio::test]
async fn the_operators_key_has_no_account_of_its_own() {
    let world = World::new();
    let operator = Principal::admin_key();
    assert_eq!(
        code(world.engine.profile(&operator).await),
        ErrorCode::WrongCredential
    );
    let ada = world.person("ada").await;
    assert!(world.engine.user(&operator, ada.signed_in.user.id).await.is_ok());
}
