// Writes on from a prompt with the exported character GPT. No Python in the process.
//
// usage: generate ALPHABET_FILE CONTEXT COUNT PROMPT [TEMPERATURE [SEED]]
// With COUNT 0 the logits of the prompt's last character are printed as hexadecimal floats, one a line.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "char_gpt.hpp"

namespace {

std::vector<std::int64_t> encode(const std::string &alphabet, const std::string &text) {
  std::vector<std::int64_t> ids;
  for (char c : text) {
    auto at = alphabet.find(c);
    if (at != std::string::npos) ids.push_back(static_cast<std::int64_t>(at));
  }
  return ids;
}

std::size_t draw(const float *logits, std::size_t count, double temperature, std::mt19937_64 &random) {
  double top = *std::max_element(logits, logits + count);
  std::vector<double> weights(count);
  for (std::size_t i = 0; i < count; ++i) weights[i] = std::exp((logits[i] - top) / temperature);
  return std::discrete_distribution<std::size_t>(weights.begin(), weights.end())(random);
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: %s ALPHABET_FILE CONTEXT COUNT PROMPT [TEMPERATURE [SEED]]\n", argv[0]);
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::string alphabet((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto context = static_cast<std::size_t>(std::strtoul(argv[2], nullptr, 10));
  const long count = std::strtol(argv[3], nullptr, 10);
  const std::string prompt = argv[4];
  const double temperature = argc > 5 ? std::strtod(argv[5], nullptr) : 0.8;
  std::mt19937_64 random(argc > 6 ? std::strtoull(argv[6], nullptr, 10) : 1);
  std::vector<std::int64_t> ids = encode(alphabet, prompt);
  if (alphabet.empty() || ids.empty() || context == 0 || temperature <= 0) {
    std::fprintf(stderr,
                 "%s: need a readable alphabet, a prompt of its characters, a context and a positive temperature\n",
                 argv[0]);
    return 2;
  }
  try {
    char_gpt::Model model;
    auto last_logits = [&](std::vector<float> &to) {
      std::size_t length = std::min(ids.size(), context);
      char_gpt::View<std::int64_t> window(ids.data() + ids.size() - length, {1, static_cast<std::int64_t>(length)});
      auto logits = model.run(window);
      const float *row = logits.data() + (length - 1) * alphabet.size();
      to.assign(row, row + alphabet.size());
    };
    std::vector<float> logits;
    if (count == 0) {
      last_logits(logits);
      for (float x : logits) std::printf("%a\n", static_cast<double>(x));
      return 0;
    }
    std::fputs(prompt.c_str(), stdout);
    for (long i = 0; i < count; ++i) {
      last_logits(logits);
      std::size_t next = draw(logits.data(), logits.size(), temperature, random);
      ids.push_back(static_cast<std::int64_t>(next));
      std::putchar(alphabet[next]);
      std::fflush(stdout);
    }
    std::putchar('\n');
  } catch (const char_gpt::Error &error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
  return 0;
}
