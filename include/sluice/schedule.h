// SPDX-License-Identifier: Apache-2.0
// Learning rates over epochs, as torch.optim.lr_scheduler has them: StepLR, CosineAnnealingLR, LinearLR
// (warm-up), ReduceLROnPlateau.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace sluice {

/// Gives the rate of each epoch in turn: optimizer.set_lr(schedule.step(metric)) after each. The first three
/// are functions of the epoch (PyTorch's closed forms, which its recursive ones equal but for rounding).
class Schedule {
 public:
  virtual ~Schedule() = default;

  /// PyTorch's name of the class: "StepLR".
  virtual std::string_view type() const noexcept = 0;
  /// The rate of the epoch under way.
  double lr() const noexcept { return lr_; }
  /// The epoch under way, from 0.
  std::size_t epoch() const noexcept { return epoch_; }
  /// Ends the epoch, which reached `metric` (a validation loss; only ReduceLROnPlateau looks at it). Returns
  /// the rate of the next.
  double step(double metric = 0);

  /// Where the schedule stands, in a line of text for a checkpoint's metadata.
  std::string state() const;
  /// Goes on from there, to the bit. Throws Error for a text that state() of this class does not write.
  void load_state(const std::string& state);

 protected:
  /// `lr` is the optimizer's own rate. Throws Error unless it is at least 0 and finite.
  Schedule(std::string_view type, double lr);
  /// The rate of `epoch`, which follows one that ended with `metric`.
  virtual double next(std::size_t epoch, double metric) = 0;
  /// What next() depends on beside its arguments, by name; and the reverse.
  virtual std::map<std::string, double> memory() const { return {}; }
  virtual void set_memory(const std::map<std::string, double>&) {}
  void start_at(double lr) noexcept { lr_ = lr; }

 private:
  std::size_t epoch_ = 0;
  double lr_;
};

struct StepLROptions {
  std::size_t step_size = 1;
  double gamma = 0.1;
};

/// lr * gamma^floor(epoch / step_size).
class StepLR final : public Schedule {
 public:
  /// Throws Error for an option out of range, as all do.
  StepLR(double lr, const StepLROptions& options);
  std::string_view type() const noexcept override { return "StepLR"; }
  double at(std::size_t epoch) const noexcept;

 protected:
  double next(std::size_t epoch, double) override { return at(epoch); }

 private:
  double base_lr_;
  StepLROptions options_;
};

struct CosineAnnealingLROptions {
  std::size_t T_max = 1;  ///< epochs from lr down to eta_min
  double eta_min = 0;
};

/// eta_min + (lr - eta_min) (1 + cos(pi epoch / T_max)) / 2 (Loshchilov and Hutter 2017, without restarts:
/// after T_max the rate rises again).
class CosineAnnealingLR final : public Schedule {
 public:
  CosineAnnealingLR(double lr, const CosineAnnealingLROptions& options);
  std::string_view type() const noexcept override { return "CosineAnnealingLR"; }
  double at(std::size_t epoch) const noexcept;

 protected:
  double next(std::size_t epoch, double) override { return at(epoch); }

 private:
  double base_lr_;
  CosineAnnealingLROptions options_;
};

struct LinearLROptions {
  double start_factor = 1.0 / 3;
  double end_factor = 1;
  std::size_t total_iters = 5;
};

/// lr times a factor that goes linearly from start_factor to end_factor over total_iters epochs, then stays.
class LinearLR final : public Schedule {
 public:
  explicit LinearLR(double lr, const LinearLROptions& options = {});
  std::string_view type() const noexcept override { return "LinearLR"; }
  double at(std::size_t epoch) const noexcept;

 protected:
  double next(std::size_t epoch, double) override { return at(epoch); }

 private:
  double base_lr_;
  LinearLROptions options_;
};

/// Which metrics are better.
enum class PlateauMode { kMin, kMax };

/// By how much a metric must be better: a share of the best one, or a number.
enum class PlateauThreshold { kRelative, kAbsolute };

struct ReduceLROnPlateauOptions {
  PlateauMode mode = PlateauMode::kMin;
  double factor = 0.1;
  std::size_t patience = 10;  ///< epochs that may pass without a better metric
  double threshold = 1e-4;
  PlateauThreshold threshold_mode = PlateauThreshold::kRelative;
  std::size_t cooldown = 0;  ///< epochs after a reduction in which none is counted
  double min_lr = 0;
  double eps = 1e-8;  ///< a smaller reduction is not made
};

/// Multiplies the rate by `factor` when the metric has not become better for more than `patience` epochs. A
/// metric of NaN is not better.
class ReduceLROnPlateau final : public Schedule {
 public:
  explicit ReduceLROnPlateau(double lr, const ReduceLROnPlateauOptions& options = {});
  std::string_view type() const noexcept override { return "ReduceLROnPlateau"; }
  double best() const noexcept { return best_; }

 protected:
  double next(std::size_t epoch, double metric) override;
  std::map<std::string, double> memory() const override;
  void set_memory(const std::map<std::string, double>& memory) override;

 private:
  bool is_better(double metric) const noexcept;

  ReduceLROnPlateauOptions options_;
  double best_;
  std::size_t bad_epochs_ = 0;
  std::size_t cooldown_left_ = 0;
};

}  // namespace sluice
