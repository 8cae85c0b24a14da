#include "base/heap.h"
#include "base/prng.h"
#include "base/test.h"

enum { N = 300 };

static void check_heap(const struct heap *h)
{
    for (size_t i = 0; i < h->count; i++) {
        CHECK_EQ(h->nodes[i]->slot, i + 1);
        CHECK(i == 0 || h->nodes[(i - 1) / 2]->due <= h->nodes[i]->due);
    }
}

/* The earliest of the nodes that are in, and of equal ones the one that was pushed first. */
static struct heap_node *model_top(struct heap_node *nodes)
{
    struct heap_node *best = NULL;
    for (size_t i = 0; i < N; i++)
        if (nodes[i].slot != 0 && (best == NULL || nodes[i].due < best->due ||
                                   (nodes[i].due == best->due && nodes[i].seq < best->seq)))
            best = &nodes[i];
    return best;
}

TEST(heap_agrees_with_a_search_over_everything)
{
    struct prng p;
    struct heap h = { 0 };
    struct heap_node nodes[N] = { 0 };
    prng_seed(&p, 11);
    for (int step = 0; step < 5000; step++) {
        struct heap_node *n = &nodes[prng_below(&p, N)];
        if (!heap_linked(n)) {
            n->due = prng_below(&p, 50); /* many equal */
            CHECK_EQ(heap_push(&h, n), ERR_OK);
        } else if (prng_chance(&p, 1, 2)) {
            heap_remove(&h, n);
            CHECK(!heap_linked(n));
            heap_remove(&h, n); /* again: nothing happens */
        } else {
            struct heap_node *want = model_top(nodes);
            CHECK(heap_top(&h) == want && heap_pop(&h) == want);
        }
        check_heap(&h);
        CHECK(heap_top(&h) == model_top(nodes));
    }
    heap_free(&h);
    for (size_t i = 0; i < N; i++)
        CHECK(!heap_linked(&nodes[i]));
}

TEST(heap_equal_dues_come_out_in_the_order_of_their_push)
{
    struct heap h = { 0 };
    struct heap_node nodes[20] = { 0 };
    for (size_t i = 0; i < 20; i++) {
        nodes[i].due = 5;
        CHECK_EQ(heap_push(&h, &nodes[i]), ERR_OK);
    }
    for (size_t i = 0; i < 20; i++)
        CHECK(heap_pop(&h) == &nodes[i]);
    CHECK(heap_pop(&h) == NULL && heap_top(&h) == NULL);
    heap_free(&h);
}

TEST_MAIN()
