// SPDX-License-Identifier: Apache-2.0
/// @file two_networks.cpp
/// @brief Two networks, `first` and `second`, take turns in one arena; every logit is compared.
#include <algorithm>
#include <cstdint>

#include "first.h"
#include "port.h"
#include "second.h"
#include "semihosting.h"

namespace
{

constexpr std::size_t arena_bytes = std::max(FIRST_ARENA_BYTES, SECOND_ARENA_BYTES);
[[gnu::section(".arena")]] alignas(8) std::uint8_t arena[arena_bytes];

bool equal(const std::int32_t *logits, const std::int32_t *expected, int count)
{
    return std::equal(logits, logits + count, expected);
}

bool first_is_right(first_context &context, std::int32_t image)
{
    return first_set_image(&context, first_test_image(image), FIRST_INPUT_BYTES) == FIRST_OK &&
           first_run(&context) == FIRST_OK &&
           equal(first_logits(&context), first_test_logits(image), FIRST_NUM_CLASSES);
}

bool second_is_right(second_context &context, std::int32_t image)
{
    return second_set_image(&context, second_test_image(image), SECOND_INPUT_BYTES) == SECOND_OK &&
           second_run(&context) == SECOND_OK &&
           equal(second_logits(&context), second_test_logits(image), SECOND_NUM_CLASSES);
}

} // namespace

int main()
{
    first_context first{};
    second_context second{};
    if (first_init(&first, arena, sizeof arena) != FIRST_OK ||
        second_init(&second, arena, sizeof arena) != SECOND_OK)
        return 1;
    for (std::int32_t image = 0; image < std::min(FIRST_TEST_IMAGES, SECOND_TEST_IMAGES); image++)
        if (!first_is_right(first, image) || !second_is_right(second, image))
            return 2;
    if (first_selftest(&first) != FIRST_OK || second_selftest(&second) != SECOND_OK)
        return 3;
    semihosting_print("both networks are right\n");
    return 0;
}
