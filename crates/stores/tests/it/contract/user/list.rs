//! Lists of accounts.

use std::sync::Arc;

use model::{Direction, FoldedText, Role, SortValue, Store, User, UserFilter, UserSort};

use crate::{
    engine::Engine,
    make::account,
    walk::{BOTH, directed, first_page, walk},
};

crate::on_every_engine![
    accounts_are_listed_once_each_in_every_order_and_page_size,
    c10_a_search_is_literal,
    a_position_of_a_list_in_another_order_is_refused,
    an_empty_list_has_no_next_page,
];

const SORTS: [UserSort; 3] = [UserSort::CreatedAt, UserSort::Email, UserSort::Username];

/// Stores accounts whose names run against their ids, with all roles, some inactive.
async fn crowd(store: &Arc<dyn Store>) -> Vec<User> {
    let mut users = Vec::new();
    for number in 1..=25 {
        let mut account = account(number);
        account.user.email = format!(
            "{}.{number}@Example.org",
            ["Zoë", "ada", "Émile", "bob"][usize::try_from(number % 4).unwrap()]
        )
        .parse()
        .unwrap();
        account.user.username = format!("n{}", 99 - number).parse().unwrap();
        account.user.role = Role::ALL[usize::try_from(number % 3).unwrap()];
        account.user.is_active = number % 5 != 0;
        store.create_user(&account).await.unwrap();
        users.push(account.user);
    }
    users
}

fn sort_by(users: &mut [User], field: UserSort) {
    users.sort_by_key(|user| {
        let text = match field {
            UserSort::CreatedAt => String::new(),
            UserSort::Email => user.email.folded().as_str().to_owned(),
            UserSort::Username => user.username.folded().as_str().to_owned(),
        };
        (text, user.id)
    });
}

async fn accounts_are_listed_once_each_in_every_order_and_page_size(engine: impl Engine) {
    let store = engine.open().await;
    let users = crowd(&store).await;
    let roles = [None, Some(Role::Admin), Some(Role::User)];
    let texts = [None, Some(FoldedText::of("ADA")), Some(FoldedText::of("nobody"))];
    for (role, is_active, contains) in roles
        .into_iter()
        .flat_map(|role| [None, Some(true), Some(false)].map(|is_active| (role, is_active)))
        .flat_map(|(role, is_active)| texts.clone().map(|text| (role, is_active, text)))
    {
        let filter = UserFilter {
            role,
            is_active,
            contains,
        };
        for (sort, direction) in SORTS
            .into_iter()
            .flat_map(|sort| BOTH.map(|direction| (sort, direction)))
        {
            let mut expected: Vec<User> = users.iter().filter(|user| fits(&filter, user)).cloned().collect();
            sort_by(&mut expected, sort);
            let expected = directed(expected, direction);
            for limit in [1, 4, 25, 100] {
                let list = async |request: &_| store.list_users(&filter, request).await;
                let (found, total) = walk(first_page(sort, direction, limit), list).await;
                assert_eq!(found, expected, "{filter:?} {sort:?} {direction:?} {limit}");
                assert_eq!(total, u64::try_from(expected.len()).unwrap());
            }
        }
    }
}

fn fits(filter: &UserFilter, user: &User) -> bool {
    let contains = |text: &FoldedText| {
        user.email.folded().as_str().contains(text.as_str())
            || user.username.folded().as_str().contains(text.as_str())
    };
    filter.role.is_none_or(|role| user.role == role)
        && filter
            .is_active
            .is_none_or(|is_active| user.is_active == is_active)
        && filter.contains.as_ref().is_none_or(contains)
}

async fn c10_a_search_is_literal(engine: impl Engine) {
    let store = engine.open().await;
    let mut special = account(1);
    special.user.email = "a%b_c'd@example.org".parse().unwrap();
    store.create_user(&special).await.unwrap();
    store.create_user(&account(2)).await.unwrap();
    let search = async |text: &str| {
        let filter = UserFilter {
            contains: Some(FoldedText::of(text)),
            ..UserFilter::default()
        };
        let page = first_page(UserSort::Email, Direction::Ascending, 10);
        store.list_users(&filter, &page).await.unwrap().total
    };
    for (text, expected) in [
        ("%", 1),
        ("_", 1),
        ("'", 1),
        ("B_C'D@", 1),
        ("(a+)+$", 0),
        ("' OR 1=1 --", 0),
        (".*", 0),
        ("user2", 1),
        ("example", 2),
        (&"x".repeat(10_000), 0),
    ] {
        assert_eq!(search(text).await, expected, "{text:.20}");
    }
}

async fn a_position_of_a_list_in_another_order_is_refused(engine: impl Engine) {
    let store = engine.open().await;
    crowd(&store).await;
    let filter = UserFilter::default();
    for (sort, value) in [
        (UserSort::CreatedAt, SortValue::Text("x".into())),
        (UserSort::Email, SortValue::Id),
        (UserSort::Username, SortValue::Integer(7)),
    ] {
        let mut request = first_page(sort, Direction::Ascending, 5);
        let mut position = store.list_users(&filter, &request).await.unwrap().next.unwrap();
        position.value = value;
        request.after = Some(position);
        let error = store.list_users(&filter, &request).await.unwrap_err();
        assert_eq!(error.details()[0].path, "cursor");
    }
}

async fn an_empty_list_has_no_next_page(engine: impl Engine) {
    let store = engine.open().await;
    let list = async |request: &_| store.list_users(&UserFilter::default(), request).await;
    for direction in BOTH {
        let (found, total) = walk(first_page(UserSort::CreatedAt, direction, 1), list).await;
        assert!(found.is_empty() && total == 0);
    }
}
