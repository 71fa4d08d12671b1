// SPDX-License-Identifier: Apache-2.0
// The kernel that everything rests on: products with a packed matrix, and what follows while the result is
// hot.
//
// A matrix W of `gates` x `units` outputs by input_size inputs is packed as
//     weights[block][k][gate][lane]      one block = `lanes` units, all their gates
//     bias   [block][gate][lane]
// and U, by state_size, in the same way behind it. So hidden units lie in the vector lanes, and each output
// is one chain of fused multiply-adds that starts at the bias and goes through the columns of W and then
// those of U. No order depends on threads, batch or lane count: that is the promise of equal bits. A step
// whose input part was made in advance reads U in one sweep.
#pragma once

#include <array>
#include <cstddef>

namespace sluice::kernels {

/// A packed matrix: borrowed pointers and sizes. Units past the last are zero.
template <class T>
struct PackedMatrix {
  const T* weights = nullptr;        // of the input: W
  const T* state_weights = nullptr;  // of the state: U
  const T* bias = nullptr;           // never null: zeros where there is none
  const T* state_bias = nullptr;     // GRU: [block][lane], bias_hh of the candidate n, which must stay apart
  std::size_t gates = 0;
  std::size_t units = 0;
  std::size_t blocks = 0;      // ceil(units / lanes)
  std::size_t input_size = 0;  // columns of W
  std::size_t state_size = 0;  // columns of U
  std::size_t pre_offset = 0;  // where a row's input part (Row::pre) has this matrix's
};

/// One row of the batch at one time step: where its values lie. Rows are independent, so a step takes any
/// list of them; all rows of one call have x, or all have pre.
template <class T>
struct Row {
  const T* x = nullptr;    // [input_size], or null where `pre` has the input part
  const T* pre = nullptr;  // [blocks][gates][lanes]: bias + W x, from `input_part`
  const T* h = nullptr;    // [state_size]
  const T* c = nullptr;    // [units], LSTM
  T* h_out = nullptr;      // [units]; must not overlap any row's h
  T* c_out = nullptr;      // [units], LSTM; may be c. GRU, reset before: r * h
  /// Null, or where to keep what the backward step needs, [blocks of lanes][vector][lane]:
  ///   LSTM  i, f, g, o     GRU  r, z, n, and U h + c of the candidate     GRU, reset before  r, z, n
  T* kept = nullptr;
};

/// One row of the batch at one step of the way back. Gradients are those of one scalar, the loss. What is
/// called `pre` stands as the forward packing has it, [blocks of lanes][gate][lane], zero past the last unit.
template <class T>
struct BackwardRow {
  const T* later = nullptr;   // [input_size of the matrix] what the product takes: gradients that are known
  const T* grad = nullptr;    // [units] of this step's output, from outside; or null
  const T* kept = nullptr;    // from the forward step
  const T* before = nullptr;  // [units] LSTM: c of the step before; GRU: h of the step before
  const T* state = nullptr;   // [units] LSTM: c of this step; RNN: h of this step
  T* carry = nullptr;  // [units] LSTM: gradient of c; GRU: what reaches h of the step before elementwise
  T* pre = nullptr;    // out: of the pre-activations, as U h of the step enters them
  T* pre_x = nullptr;  // out, GRU: as W x enters them
};

/// Blocks [begin, end), upwards or downwards. Steps that go up and down in turn begin with the blocks that
/// the step before read last, and find them in the cache.
struct BlockSweep {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool is_downward = false;
};

/// The table of one element type on one instruction set. What was packed with `lanes` runs on the same table
/// only.
template <class T>
struct PackedGemm {
  const char* target;
  std::size_t lanes;
  /// Most rows that a tile of a matrix of 1, 2, 3 or 4 gates takes; batches of a multiple of it run best.
  std::array<std::size_t, 4> tile_rows;

  /// pre_out[r], from pre_offset on, = bias + W x[r] for units of the sweep's blocks, [blocks][gates][lanes].
  void (*input_part)(const PackedMatrix<T>& w, const T* const* x, T* const* pre_out, std::size_t rows,
                     BlockSweep sweep);
  /// y[r] = bias + W x[r], a plain matrix packed with gates = 1 .. 4 neighbouring vectors a block (see
  /// pack_linear).
  void (*linear)(const PackedMatrix<T>& w, const T* const* x, T* const* y, std::size_t rows,
                 BlockSweep sweep);
  /// One time step of the rows, units of the sweep's blocks: products, gates and the new state in one go.
  using Step = void (*)(const PackedMatrix<T>& w, const Row<T>* rows, std::size_t count, BlockSweep sweep);
  Step lstm_step;      // gates i, f, g, o
  Step gru_step;       // gates r, z, n; reset after the product
  Step rnn_tanh_step;  // packed as a plain matrix
  Step rnn_relu_step;
  /// GRU with the reset before the product, in two halves of the same rows. First, gates r and z: r * h goes
  /// to c_out, z to h_out. Then, with both and gate n, a plain matrix: h' goes to h_out.
  Step gru_before_gates_step;
  Step gru_before_candidate_step;

  /// sums[r] += W x[r] for units of the sweep's blocks; both as in input_part. The chain of each sum goes on.
  void (*add_product)(const PackedMatrix<T>& w, const T* const* x, T* const* sums, std::size_t rows,
                      BlockSweep sweep);
  /// One step of the way back. `w` is a plain matrix, the transpose of what the forward step multiplied h
  /// with, and gives the part of h's gradient that comes through the products of the step after:
  ///   h' = grad + W later + carry (GRU)
  /// What follows is elementwise: the gradients of the pre-activations, and the new carry.
  using BackwardStep = void (*)(const PackedMatrix<T>& w, const BackwardRow<T>* rows, std::size_t count,
                                BlockSweep sweep);
  BackwardStep lstm_backward;
  BackwardStep gru_backward;
  BackwardStep rnn_tanh_backward;
  BackwardStep rnn_relu_backward;
  /// GRU with the reset before the product, in two halves. First: z's and n's gradients, in pre (r, z) and
  /// pre_x (n). Then, with the transpose of n's matrix and `later` = n's gradients: r's, and the rest of
  /// carry.
  BackwardStep gru_before_candidate_backward;
  BackwardStep gru_before_gates_backward;
};

template <class T>
const PackedGemm<T>& packed_gemm();
template <>
const PackedGemm<float>& packed_gemm<float>();
template <>
const PackedGemm<double>& packed_gemm<double>();

}  // namespace sluice::kernels
