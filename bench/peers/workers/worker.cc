// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

namespace sluice::peers {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

double ns_since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

Case read_case(const std::string& folder, int threads) {
  Json json;
  std::ifstream(folder + "/case.json") >> json;
  Case c;
  c.folder = folder;
  c.threads = threads;
  c.kind = json.at("kind");
  c.cell = json.value("cell", "");
  c.names = json.value("names", std::vector<std::string>());
  c.function = json.value("function", "");
  const auto size = [&](const char* name, std::size_t otherwise) { return json.value(name, otherwise); };
  c.T = size("T", 0);
  c.B = size("B", 0);
  c.I = size("I", 0);
  c.H = size("H", 0);
  c.layers = size("layers", 1);
  c.directions = size("directions", 1);
  c.models = size("models", 1);
  c.updates = size("updates", 0);
  c.n = size("n", 0);
  c.lengths = json.value("lengths", std::vector<std::int64_t>());
  return c;
}

// A sample is the mean of as many calls as take 20 us, so that reading the clock costs nothing; at most some
// two thousand samples.
std::vector<double> time_calls(Job& job, double seconds) {
  const double call = trial_ns([&] { job.run(); });
  const double least = std::max(20e3, seconds * 1e9 / 2000);
  const auto calls = static_cast<std::size_t>(std::max(1.0, std::ceil(least / call)));
  std::vector<double> samples;
  const auto begin = Clock::now();
  do {
    const auto start = Clock::now();
    for (std::size_t i = 0; i < calls; ++i) job.run();
    samples.push_back(ns_since(start) / static_cast<double>(calls));
  } while (ns_since(begin) < seconds * 1e9);
  return samples;
}

}  // namespace

double trial_ns(const std::function<void()>& call) {
  double best = 1e30;
  const auto begin = Clock::now();
  for (int i = 0; i < 20 && ns_since(begin) < 50e6; ++i) {
    const auto start = Clock::now();
    call();
    best = std::min(best, ns_since(start));
  }
  return best;
}

Tensor<float> joined(std::span<const TensorView<const float>> parts) {
  std::size_t size = 0;
  for (const TensorView<const float>& part : parts) size += part.size();
  Tensor<float> all({size});
  float* to = all.data();
  for (const TensorView<const float>& part : parts) to = std::copy_n(part.data(), part.size(), to);
  return all;
}

int serve(const std::string& engine, const std::string& version, const Maker& make) {
  // The answers' own descriptor: what a library prints goes to stderr.
  std::FILE* answers = fdopen(dup(1), "w");
  dup2(2, 1);
  const auto answer = [&](const Json& json) {
    std::fprintf(answers, "%s\n", json.dump().c_str());
    std::fflush(answers);
  };
  answer({{"engine", engine}, {"version", version}});

  std::unique_ptr<Job> job;
  for (std::string line; std::getline(std::cin, line);) {
    try {
      const Json command = Json::parse(line);
      if (command.at("do") == "prepare") {
        job.reset();
        const Case c = read_case(command.at("folder"), command.at("threads"));
        job = make(c);
        job->run();
        save_npy(c.path(engine + ".npy"), job->result());
        answer({{"setting", job->setting()}});
      } else {
        answer({{"ns", time_calls(*job, command.at("seconds"))}});
      }
    } catch (const Unsupported& unsupported) {
      answer({{"unsupported", unsupported.why}});
    } catch (const std::exception& error) {
      answer({{"error", error.what()}});
    }
  }
  return 0;
}

// Threads wait for the next call by spinning, as the pools of the engines do: a call is short. They share a
// call's jobs through one counter.
struct HostThreads::Shared {
  std::size_t count = 0;
  std::function<void(std::size_t)> work;
  std::atomic<std::size_t> next = 0;
  std::atomic<int> call = 0, busy = 0;
  std::atomic<bool> ends = false;
  std::vector<std::thread> threads;

  void share() {
    for (std::size_t i; (i = next.fetch_add(1)) < count;) work(i);
  }
};

HostThreads::HostThreads(int threads, std::size_t count, std::function<void()> enter,
                         std::function<void(std::size_t)> work)
    : shared_(std::make_unique<Shared>()) {
  shared_->count = count;
  shared_->work = std::move(work);
  enter();  // this thread is one of them
  for (int t = 1; t < threads; ++t) {
    shared_->threads.emplace_back([shared = shared_.get(), enter] {
      enter();
      for (int seen = 0;;) {
        while (shared->call.load() == seen) {
          if (shared->ends.load()) return;
          std::this_thread::yield();
        }
        ++seen;
        shared->share();
        shared->busy.fetch_sub(1);
      }
    });
  }
}

HostThreads::~HostThreads() {
  shared_->ends = true;
  for (std::thread& thread : shared_->threads) thread.join();
}

void HostThreads::run() {
  shared_->next = 0;
  shared_->busy = static_cast<int>(shared_->threads.size());
  shared_->call.fetch_add(1);
  shared_->share();
  while (shared_->busy.load() > 0) std::this_thread::yield();
}

}  // namespace sluice::peers
