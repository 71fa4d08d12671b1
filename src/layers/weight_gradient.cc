// SPDX-License-Identifier: Apache-2.0
#include "layers/weight_gradient.h"

#include <algorithm>
#include <vector>

#include "core/threads.h"
#include "kernels/packed_gemm.h"
#include "kernels/transpose.h"
#include "layers/packed_linear.h"
#include "sluice/tensor.h"

namespace sluice {
namespace {

// Blocks of the list are packed for at most so many k at once: with 4 vectors of floats 128 KiB, which stay
// in the second cache while all rows of the features go over them.
constexpr std::size_t kMostDepth = 512;
constexpr std::size_t kVectors = 4;

// The product, panel by panel: the sums of some features times as many whole blocks of the list as make
// kVectors vectors. A panel stays in the second cache while k goes on, and is then added to the gradients.
template <class T>
class PanelProduct {
 public:
  PanelProduct(const Tensor<T>& features, TensorView<const T> list, GateRange gates, std::size_t units,
               TensorView<T> weight, TensorView<T> bias)
      : features_(features),
        list_(list),
        gates_(gates),
        units_(units),
        blocks_((units + lanes_ - 1) / lanes_),
        panel_blocks_(std::max<std::size_t>(kVectors / gates.count, 1)),
        weight_(weight),
        bias_(bias) {}

  std::size_t panels() const noexcept { return (blocks_ + panel_blocks_ - 1) / panel_blocks_; }
  std::size_t rows() const noexcept { return features_.dim(0); }  // the last one is of ones
  // Multiply-adds of a row and panel.
  std::size_t operations() const noexcept { return depth() * panel_width(); }

  // [panels][rows][panel_width] of sums, for parts of k.
  Shape sums_shape() const { return {panels(), rows(), panel_width()}; }

  // Rows [first, last) of panels [first_panel, last_panel). The sums begin with those in `kept`, which is
  // null for zeros, and end there, or are added to the gradients.
  void add(std::size_t first, std::size_t last, std::size_t first_panel, std::size_t last_panel,
           Tensor<T>& kept, bool begins, bool ends) const {
    Tensor<T> own;
    if (kept.is_null()) own = Tensor<T>::uninitialized({last - first, panel_width()});
    Tensor<T> packed = Tensor<T>::uninitialized({kMostDepth, panel_width()});
    std::vector<const T*> rows(last - first);
    std::vector<T*> out(last - first);
    Tensor<T> turned = Tensor<T>::uninitialized({lanes_, last - first});
    for (std::size_t panel = first_panel; panel < last_panel; ++panel) {
      const std::size_t block = panel * panel_blocks_;
      const std::size_t count = std::min(panel_blocks_, blocks_ - block);
      const std::size_t width = count * gates_.count * lanes_;
      T* const sums = kept.is_null() ? own.data() : &kept(panel, first, 0);
      if (begins) std::fill_n(sums, rows.size() * panel_width(), T{0});
      multiply(first, block, width, sums, packed, rows, out);
      for (std::size_t i = 0; ends && i < count * gates_.count; ++i) {
        add_vector(first, last, block + i / gates_.count, i % gates_.count, sums + i * lanes_, turned);
      }
    }
  }

 private:
  std::size_t depth() const noexcept { return features_.dim(1); }
  std::size_t panel_width() const noexcept { return panel_blocks_ * gates_.count * lanes_; }

  // sums[row - first][n] += sum over k of features[row, k] list[k, n], k in order; `width` columns of the
  // list from `block` on.
  void multiply(std::size_t first, std::size_t block, std::size_t width, T* sums, Tensor<T>& packed,
                std::vector<const T*>& rows, std::vector<T*>& out) const noexcept {
    const std::ptrdiff_t stride = list_.stride(list_.rank() - 2);
    const T* const b = list_.data() + block * gates_.count * lanes_;
    for (std::size_t m = 0; m < rows.size(); ++m) out[m] = sums + m * panel_width();
    const std::size_t chunks = (depth() + kMostDepth - 1) / kMostDepth;  // of about the same size
    for (std::size_t c = 0; c < chunks; ++c) {
      const std::size_t k = depth() * c / chunks, chunk = depth() * (c + 1) / chunks - k;
      for (std::size_t i = 0; i < chunk; ++i) {
        std::copy_n(b + static_cast<std::ptrdiff_t>(k + i) * stride, width, packed.data() + i * width);
      }
      for (std::size_t m = 0; m < rows.size(); ++m) rows[m] = features_.data() + (first + m) * depth() + k;
      kernels::PackedMatrix<T> matrix;
      matrix.weights = packed.data();
      matrix.gates = width / lanes_;
      matrix.units = width;
      matrix.blocks = 1;
      matrix.input_size = chunk;
      kernels_.add_product(matrix, rows.data(), out.data(), rows.size(), {0, 1});
    }
  }

  // Adds one vector of units of each row, `sums` [last - first] rows.
  void add_vector(std::size_t first, std::size_t last, std::size_t block, std::size_t gate, const T* sums,
                  Tensor<T>& turned) const noexcept {
    const std::size_t stride = panel_width();
    const std::size_t ones = rows() - 1;
    const std::size_t unit = block * lanes_, count = std::min(lanes_, units_ - unit);
    const std::size_t to = (gates_.first + gate) * units_ + unit;
    const std::size_t columns = std::min(last, ones) - first;
    if (weight_ && columns > 0) {
      kernels::transpose_kernel<T>()(sums, static_cast<std::ptrdiff_t>(stride), turned.data(),
                                     static_cast<std::ptrdiff_t>(columns), columns, count);
      for (std::size_t u = 0; u < count; ++u) {
        T* const row = &weight_(to + u, first);
        for (std::size_t k = 0; k < columns; ++k) row[k] += turned.data()[u * columns + k];
      }
    }
    if (!bias_ || last <= ones) return;
    for (std::size_t u = 0; u < count; ++u) bias_(to + u) += sums[(ones - first) * stride + u];
  }

  const kernels::PackedGemm<T>& kernels_ = kernels::packed_gemm<T>();
  const std::size_t lanes_ = kernels_.lanes;
  const Tensor<T>& features_;
  TensorView<const T> list_;
  GateRange gates_;
  std::size_t units_, blocks_, panel_blocks_;
  TensorView<T> weight_, bias_;
};

}  // namespace

template <class T>
Tensor<T> transposed_features(TensorView<const T> x, std::span<const std::int64_t> lengths, int threads,
                              std::size_t first_step) {
  Tensor<T> all = transposed_steps<T>(
      x.dim(0), x.dim(1), x.dim(2),
      [&](std::size_t t) {
        return FeatureRows<T>{x.data() + static_cast<std::ptrdiff_t>(t) * x.stride(0), x.stride(1)};
      },
      threads);
  clear_past_lengths(all, lengths, first_step);
  return all;
}

template <class T>
Tensor<T> transposed_steps(std::size_t steps, std::size_t batch, std::size_t features,
                           const std::function<FeatureRows<T>(std::size_t)>& rows_at, int threads) {
  Tensor<T> all = Tensor<T>::uninitialized({features + 1, steps * batch});
  std::fill_n(all.data() + features * steps * batch, steps * batch, T{1});
  const auto transpose = kernels::transpose_kernel<T>();
  parallel_ranges(steps, kMovesPerThread / (batch * features + 1) + 1, threads,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t t = begin; t < end && batch > 0; ++t) {
                      const FeatureRows<T> rows = rows_at(t);
                      transpose(rows.data, rows.stride, all.data() + t * batch,
                                static_cast<std::ptrdiff_t>(steps * batch), batch, features);
                    }
                  });
  return all;
}

template <class T>
void clear_past_lengths(Tensor<T>& all, std::span<const std::int64_t> lengths,
                        std::size_t first_step) noexcept {
  const std::size_t batch = lengths.size();
  for (std::size_t row = 0; row < batch; ++row) {
    const std::size_t end = std::max(static_cast<std::size_t>(lengths[row]), first_step) - first_step;
    for (std::size_t k = end * batch + row; k < all.dim(1); k += batch) {
      for (std::size_t f = 0; f < all.dim(0); ++f) all(f, k) = T{0};
    }
  }
}

template <class T>
Tensor<T> padded_gradients(TensorView<const T> grad, std::span<const std::int64_t> lengths) {
  const std::size_t steps = grad.dim(0), batch = grad.dim(1), n = grad.dim(2);
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  Tensor<T> list({steps, batch, (n + lanes - 1) / lanes * lanes});
  for (std::size_t b = 0; b < batch; ++b) {
    const std::size_t length = lengths.empty() ? steps : static_cast<std::size_t>(lengths[b]);
    for (std::size_t t = 0; t < length && n > 0; ++t) std::copy_n(&grad(t, b, 0), n, &list(t, b, 0));
  }
  return list;
}

template <class T>
void WeightGradient<T>::add(const Tensor<T>& features, TensorView<const T> list, bool is_last, int threads) {
  if (units_ == 0) return;
  const PanelProduct<T> product(features, list, gates_, units_, weight_, bias_);
  const bool is_first = sums_.is_null();
  if (is_first && !is_last) sums_ = Tensor<T>::uninitialized(product.sums_shape());
  // Few panels are split in ranges of rows, too.
  const auto most = static_cast<std::size_t>(threads == 1 ? 1 : thread_limit(threads));
  const std::size_t panels = product.panels(), rows = product.rows();
  const std::size_t splits = std::min((most + panels - 1) / panels, rows);
  const std::size_t operations = product.operations() * (rows / splits) + 1;
  parallel_ranges(splits * panels, kOperationsPerThread / operations + 1, threads,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t split = begin / panels; split * panels < end; ++split) {
                      product.add(rows * split / splits, rows * (split + 1) / splits,
                                  std::max(begin, split * panels) - split * panels,
                                  std::min(end, (split + 1) * panels) - split * panels, sums_, is_first,
                                  is_last);
                    }
                  });
}

template Tensor<float> transposed_features(TensorView<const float>, std::span<const std::int64_t>, int,
                                           std::size_t);
template Tensor<double> transposed_features(TensorView<const double>, std::span<const std::int64_t>, int,
                                            std::size_t);
template Tensor<float> transposed_steps(std::size_t, std::size_t, std::size_t,
                                        const std::function<FeatureRows<float>(std::size_t)>&, int);
template Tensor<double> transposed_steps(std::size_t, std::size_t, std::size_t,
                                         const std::function<FeatureRows<double>(std::size_t)>&, int);
template void clear_past_lengths(Tensor<float>&, std::span<const std::int64_t>, std::size_t) noexcept;
template void clear_past_lengths(Tensor<double>&, std::span<const std::int64_t>, std::size_t) noexcept;
template Tensor<float> padded_gradients(TensorView<const float>, std::span<const std::int64_t>);
template Tensor<double> padded_gradients(TensorView<const double>, std::span<const std::int64_t>);
template class WeightGradient<float>;
template class WeightGradient<double>;

}  // namespace sluice
