# MD5 of up to four states over the same bytes: state n in lane n of %xmm0 to %xmm4, each word of the message in all lanes.
#
# A step waits for the one before it for four instructions of a cycle each, and there are five:
#
#     f' = d + (M + K of the next step)
#     d  = F(b, c, d)                      any function of three words is one instruction
#     t  = rotate(t + d) + b               t: a + (M + K of this step), from the step before
#
# so that the words of the state move on by one register of the five with each step: t, b, c, d and the one that is free.
#
# Registers: %rsi the block, %rdi the table; %ymm16 to %ymm19 bytes and sums; %xmm20 to %xmm23 the state before the block.
# Memory: M + K of the rounds in the 256 bytes from %rsp on, each round's in the order of M.
# Symbols: STEP of the block, PLACE: the same modulo 5.

# M + K of a round, for which the table has K in the order of M.
.macro MD5_SUMS round
    vpaddd \round * 64(%rdi), %ymm18, %ymm16
    vpaddd \round * 64 + 32(%rdi), %ymm19, %ymm17
    vmovdqu32 %ymm16, \round * 64(%rsp)
    vmovdqu32 %ymm17, \round * 64 + 32(%rsp)
.endm

.macro MD5_STEP_IN t b c d f
    .if STEP == 63
        # No next step: what the first word was before the block.
        vpaddd %xmm20, \d, \f
    .else
        .set NEXT, STEP + 1
        .if NEXT < 16
            .set WORD, NEXT
        .elseif NEXT < 32
            .set WORD, (5 * NEXT + 1) & 15
        .elseif NEXT < 48
            .set WORD, (3 * NEXT + 5) & 15
        .else
            .set WORD, (7 * NEXT) & 15
        .endif
        vpaddd (NEXT >> 4) * 64 + WORD * 4(%rsp){1to4}, \d, \f
    .endif
    # The truth table of each function, of d, b and c; and by how much each of four steps rotates, a byte each.
    .if STEP < 16
        .set FUNCTION, 0xb8
        .set ROTATIONS, 0x16110c07
    .elseif STEP < 32
        .set FUNCTION, 0xca
        .set ROTATIONS, 0x140e0905
    .elseif STEP < 48
        .set FUNCTION, 0x96
        .set ROTATIONS, 0x17100b04
    .else
        .set FUNCTION, 0x65
        .set ROTATIONS, 0x150f0a06
    .endif
    .set ROTATION, (ROTATIONS >> (8 * (STEP & 3))) & 31
    vpternlogd $FUNCTION, \c, \b, \d
    vpaddd \d, \t, \t
    vprold $ROTATION, \t, \t
    vpaddd \b, \t, \t
.endm

# The next step of the block, with what comes before the first of a round and after the last.
.macro MD5_STEP
    .if STEP == 0
        vmovdqu32 (%rsi), %ymm18
        vmovdqu32 32(%rsi), %ymm19
        MD5_SUMS 0
        vpaddd (%rsp){1to4}, %xmm20, %xmm0
        vmovdqa32 %xmm21, %xmm1
        vmovdqa32 %xmm22, %xmm2
        vmovdqa32 %xmm23, %xmm3
        MD5_SUMS 1
    .elseif STEP == 16
        MD5_SUMS 2
    .elseif STEP == 32
        MD5_SUMS 3
    .endif
    .if PLACE == 0
        MD5_STEP_IN %xmm0, %xmm1, %xmm2, %xmm3, %xmm4
    .elseif PLACE == 1
        MD5_STEP_IN %xmm4, %xmm0, %xmm1, %xmm2, %xmm3
    .elseif PLACE == 2
        MD5_STEP_IN %xmm3, %xmm4, %xmm0, %xmm1, %xmm2
    .elseif PLACE == 3
        MD5_STEP_IN %xmm2, %xmm3, %xmm4, %xmm0, %xmm1
    .else
        MD5_STEP_IN %xmm1, %xmm2, %xmm3, %xmm4, %xmm0
    .endif
    .set STEP, STEP + 1
    .set PLACE, PLACE + 1
    .if PLACE == 5
        .set PLACE, 0
    .endif
    .if STEP == 64
        vmovdqa32 %xmm1, %xmm20
        vpaddd %xmm2, %xmm21, %xmm21
        vpaddd %xmm3, %xmm22, %xmm22
        vpaddd %xmm4, %xmm23, %xmm23
    .endif
.endm

.macro MD5_LOAD from
    vmovdqu32 (\from), %xmm20
    vmovdqu32 16(\from), %xmm21
    vmovdqu32 32(\from), %xmm22
    vmovdqu32 48(\from), %xmm23
.endm

.macro MD5_STORE to
    vmovdqu32 %xmm20, (\to)
    vmovdqu32 %xmm21, 16(\to)
    vmovdqu32 %xmm22, 32(\to)
    vmovdqu32 %xmm23, 48(\to)
.endm
