/* Stands in for OpenBLAS in the image: the functions that numpy's wheel takes from it, without speed. A request multiplies a few
 * vectors at most, and OpenBLAS with Fortran's library is 28 MB, of which a cold start fetches 19 chunks to find and initialize them.
 *
 * The signatures are those of CBLAS (https://www.netlib.org/blas/#_cblas) with integers of 64 bits. Sums of float are computed in
 * double. Functions of LAPACK, which numpy.linalg's decompositions need, end the process with a message. */
#include <complex.h>
#include <stdio.h>
#include <stdlib.h>

typedef long long integer;
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };

static void missing(const char *name) {
    fprintf(stderr, "numpy called %s, which this image leaves out: see runtime/image/blas.c\n", name);
    abort();
}

/* c[m, n] = alpha * a[m, k] @ b[k, n] + beta * c. Each matrix has the distance between its rows, and between its columns. */
#define PRODUCT(T, SUM, NAME)                                                                                                    \
    static void NAME(integer m, integer n, integer k, T alpha, const T *a, integer a_row, integer a_column, const T *b,          \
                     integer b_row, integer b_column, T beta, T *c, integer c_row, integer c_column) {                           \
        for (integer i = 0; i < m; i++)                                                                                          \
            for (integer j = 0; j < n; j++) {                                                                                    \
                SUM sum = 0;                                                                                                     \
                for (integer l = 0; l < k; l++)                                                                                  \
                    sum += (SUM)a[i * a_row + l * a_column] * b[l * b_row + j * b_column];                                       \
                T *place = c + i * c_row + j * c_column;                                                                         \
                *place = alpha * sum + (beta == 0 ? 0 : beta * *place);                                                          \
            }                                                                                                                    \
    }

/* A vector with a negative distance between its elements starts at its end. */
#define FIRST(x, n, distance) ((x) + ((distance) < 0 ? (1 - (n)) * (distance) : 0))

/* The distance between rows, and between columns, of a matrix that is transposed or not. */
#define ROW(order, transposed, leading) (((order) == ROW_MAJOR) == ((transposed) == NO_TRANSPOSE) ? (leading) : 1)
#define COLUMN(order, transposed, leading) (((order) == ROW_MAJOR) == ((transposed) == NO_TRANSPOSE) ? 1 : (leading))

/* SCALAR and VALUE are how alpha and beta are passed: a value, or of complex numbers a pointer. */
#define FUNCTIONS(P, T, SUM, SCALAR, VALUE)                                                                                      \
    PRODUCT(T, SUM, P##product)                                                                                                  \
    void scipy_cblas_##P##axpy64_(integer n, SCALAR alpha, const T *x, integer dx, T *y, integer dy) {                           \
        T one = 1;                                                                                                               \
        P##product(n, 1, 1, VALUE alpha, FIRST(x, n, dx), dx, 0, &one, 0, 0, 1, FIRST(y, n, dy), dy, 0);                         \
    }                                                                                                                            \
    void scipy_cblas_##P##gemv64_(int order, int transposed, integer m, integer n, SCALAR alpha, const T *a, integer la,         \
                                  const T *x, integer dx, SCALAR beta, T *y, integer dy) {                                       \
        integer rows = transposed == NO_TRANSPOSE ? m : n, columns = transposed == NO_TRANSPOSE ? n : m;                         \
        if (transposed > TRANSPOSE) missing("gemv of conjugates");                                                               \
        P##product(rows, 1, columns, VALUE alpha, a, ROW(order, transposed, la), COLUMN(order, transposed, la),                  \
                   FIRST(x, columns, dx), dx, 0, VALUE beta, FIRST(y, rows, dy), dy, 0);                                         \
    }                                                                                                                            \
    void scipy_cblas_##P##gemm64_(int order, int ta, int tb, integer m, integer n, integer k, SCALAR alpha, const T *a,          \
                                  integer la, const T *b, integer lb, SCALAR beta, T *c, integer lc) {                           \
        if (ta > TRANSPOSE || tb > TRANSPOSE) missing("gemm of conjugates");                                                     \
        P##product(m, n, k, VALUE alpha, a, ROW(order, ta, la), COLUMN(order, ta, la), b, ROW(order, tb, lb),                    \
                   COLUMN(order, tb, lb), VALUE beta, c, ROW(order, NO_TRANSPOSE, lc), COLUMN(order, NO_TRANSPOSE, lc));         \
    }                                                                                                                            \
    /* Both triangles, where BLAS writes one of them. */                                                                         \
    void scipy_cblas_##P##syrk64_(int order, int triangle, int t, integer n, integer k, SCALAR alpha, const T *a, integer la,    \
                                  SCALAR beta, T *c, integer lc) {                                                               \
        if (t > TRANSPOSE) missing("syrk of conjugates");                                                                        \
        P##product(n, n, k, VALUE alpha, a, ROW(order, t, la), COLUMN(order, t, la), a, COLUMN(order, t, la),                    \
                   ROW(order, t, la), VALUE beta, c, ROW(order, NO_TRANSPOSE, lc), COLUMN(order, NO_TRANSPOSE, lc));             \
    }

FUNCTIONS(s, float, double, float, )
FUNCTIONS(d, double, double, double, )
FUNCTIONS(c, float complex, double complex, const float complex *, *)
FUNCTIONS(z, double complex, double complex, const double complex *, *)

#define DOT(P, T)                                                                                                                \
    T scipy_cblas_##P##dot64_(integer n, const T *x, integer dx, const T *y, integer dy) {                                       \
        T result;                                                                                                                \
        P##product(1, 1, n, 1, FIRST(x, n, dx), 0, dx, FIRST(y, n, dy), dy, 0, 0, &result, 0, 0);                                \
        return result;                                                                                                           \
    }
DOT(s, float)
DOT(d, double)

#define COMPLEX_DOT(P, T)                                                                                                        \
    void scipy_cblas_##P##dotu_sub64_(integer n, const T *x, integer dx, const T *y, integer dy, T *result) {                    \
        P##product(1, 1, n, 1, FIRST(x, n, dx), 0, dx, FIRST(y, n, dy), dy, 0, 0, result, 0, 0);                                 \
    }                                                                                                                            \
    void scipy_cblas_##P##dotc_sub64_(integer n, const T *x, integer dx, const T *y, integer dy, T *result) {                    \
        double complex sum = 0;                                                                                                  \
        for (integer i = 0; i < n; i++) sum += conj(FIRST(x, n, dx)[i * dx]) * FIRST(y, n, dy)[i * dy];                          \
        *result = sum;                                                                                                           \
    }
COMPLEX_DOT(c, float complex)
COMPLEX_DOT(z, double complex)

#define LAPACK(NAME) void scipy_##NAME##_64_(void) { missing("LAPACK's " #NAME); }
#define LAPACK_OF_ALL(NAME) LAPACK(s##NAME) LAPACK(d##NAME) LAPACK(c##NAME) LAPACK(z##NAME)
LAPACK_OF_ALL(copy)
LAPACK_OF_ALL(geev)
LAPACK_OF_ALL(gelsd)
LAPACK_OF_ALL(gesdd)
LAPACK_OF_ALL(gesv)
LAPACK_OF_ALL(getrf)
LAPACK_OF_ALL(potrf)
LAPACK(ssyevd)
LAPACK(dsyevd)
LAPACK(cheevd)
LAPACK(zheevd)
LAPACK(dgeqrf)
LAPACK(zgeqrf)
LAPACK(dorgqr)
LAPACK(zungqr)
