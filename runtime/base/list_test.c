#include "base/list.h"
#include "base/test.h"

struct item {
    int id;
    struct list node;
};

static void check_order(struct list *head, const char *want)
{
    char have[64] = "";
    list_for_each(n, head)
        snprintf(have + strlen(have), sizeof have - strlen(have), "%d ",
                 container_of(n, struct item, node)->id);
    CHECK_STR(have, want);
    size_t back = 0, forth = 0;
    for (struct list *n = head->prev; n != head; n = n->prev)
        back++;
    list_for_each(n, head)
        forth++;
    CHECK_EQ(back, forth);
}

TEST(list_is_a_fifo)
{
    struct list head;
    struct item i[3] = { { .id = 1 }, { .id = 2 }, { .id = 3 } };
    list_init(&head);
    CHECK(list_empty(&head) && list_pop_front(&head) == NULL);
    for (size_t k = 0; k < 3; k++)
        list_push_back(&head, &i[k].node);
    check_order(&head, "1 2 3 ");
    CHECK_EQ(container_of(list_pop_front(&head), struct item, node)->id, 1);
    CHECK(!list_linked(&i[0].node) && list_linked(&i[1].node));
    list_push_front(&head, &i[0].node);
    check_order(&head, "1 2 3 ");
}

TEST(list_nodes_leave_from_anywhere)
{
    struct list head;
    struct item i[4] = { { .id = 1 }, { .id = 2 }, { .id = 3 }, { .id = 4 } };
    list_init(&head);
    for (size_t k = 0; k < 4; k++)
        list_push_back(&head, &i[k].node);
    list_for_each_safe(n, &head)
        if (container_of(n, struct item, node)->id % 2 == 0)
            list_remove(n);
    check_order(&head, "1 3 ");
    list_remove(&i[1].node); /* is in no list: nothing happens */
    check_order(&head, "1 3 ");
}

TEST(list_splice_moves_everything_in_order)
{
    struct list a, b;
    struct item i[4] = { { .id = 1 }, { .id = 2 }, { .id = 3 }, { .id = 4 } };
    list_init(&a), list_init(&b);
    list_push_back(&a, &i[0].node), list_push_back(&a, &i[1].node);
    list_push_back(&b, &i[2].node), list_push_back(&b, &i[3].node);
    list_splice(&a, &b);
    check_order(&a, "1 2 3 4 ");
    CHECK(list_empty(&b));
    list_splice(&a, &b);
    check_order(&a, "1 2 3 4 ");
    list_splice(&b, &a);
    check_order(&b, "1 2 3 4 ");
    CHECK(list_empty(&a));
}

TEST_MAIN()
