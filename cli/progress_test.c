#include "progress.h"

#include "base/test.h"

TEST(progress_line_says_rows_rate_and_time_left)
{
    char line[200];
    progress_line(512 << 10, 1 << 20, 1000, 2000, 120, line, sizeof line);
    CHECK_CONTAINS(line, "[###############               ]");
    CHECK_CONTAINS(line, "1000 rows");
    CHECK_CONTAINS(line, "500 rows/s");
    CHECK_CONTAINS(line, "0:02 left");
    progress_line(1 << 20, 1 << 20, 1000, 2000, 120, line, sizeof line);
    CHECK_CONTAINS(line, "[##############################]");
    progress_line(2 << 20, 1 << 20, 1000, 2000, 120, line, sizeof line); /* the file grew */
    CHECK_CONTAINS(line, "[##############################]");
    progress_line(1 << 20, 1ull << 40, 1, 1000, 120, line, sizeof line);
    CHECK_CONTAINS(line, " h ");
}

TEST(progress_line_without_a_total_has_no_bar)
{
    char line[200];
    progress_line(1 << 20, 0, 10, 1000, 120, line, sizeof line);
    CHECK(strchr(line, '[') == NULL);
    CHECK(strstr(line, "left") == NULL);
    CHECK_CONTAINS(line, "10 rows");
    progress_line(0, 0, 0, 0, 120, line, sizeof line); /* the first moment */
    CHECK_CONTAINS(line, "0 rows/s");
}

TEST(progress_line_fits_the_terminal)
{
    char line[200];
    progress_line(512 << 10, 1 << 20, 1000, 2000, 20, line, sizeof line);
    CHECK_EQ(strlen(line), 20);
}

TEST_MAIN()
