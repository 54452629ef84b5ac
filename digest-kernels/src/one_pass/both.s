# SHA-512 of blocks of 128 bytes, and between its instructions MD5 (md5.s) of the same bytes. At least one block.
#
# SHA-512 is in general registers: its 24 instructions a round need the ports that MD5's wait leaves free. Its schedule is in
# vector registers, four words at a time.
#
# The loop is 40 rounds with one block of MD5, twice for each block of SHA-512: half the code, which the front end of a core has
# decoded even where another thread shares it.
#
# %rdi: MD5's states, each word's lanes together; %rsi: SHA-512's state; %rdx: the blocks; %rcx: how many; %r8: the table.
#
# Registers: as in md5.s; %rax %rbx %rcx %rdx %r8 to %r11 a to h, %r12 to %r15 what a round needs besides; %rbp W + K of the round, %ymm9
# to %ymm12 the 16 words of W that the next depend on, %ymm5 to %ymm8 what the schedule needs besides.
# Memory, from %rsp on: 256 bytes of MD5's; at 256 SHA-512's state, at 264 MD5's, at 272 the blocks that are left, at 280 the
# stack pointer before, at 288 whether this is the second half; from 320 on the 80 words W + K, from 960 on K: in reach of %rbp.
# Symbols: ROUND of the half; MD5's.

.macro SHA512_ROUND_IN a b c d e f g h new old
    addq ROUND * 8(%rbp), \h
    rorxq $41, \e, %r12
    rorxq $18, \e, %r13
    movq \f, \new
    .if STEP * 5 < (ROUND + 1) * 8
        MD5_STEP
    .endif
    xorq \g, \new
    xorq %r13, %r12
    rorxq $14, \e, %r13
    andq \e, \new
    xorq %r13, %r12
    xorq \g, \new
    addq %r12, \h
    rorxq $39, \a, %r12
    addq \new, \h
    .if STEP * 5 < (ROUND + 1) * 8
        MD5_STEP
    .endif
    rorxq $34, \a, %r13
    addq \h, \d
    # Of a ^ b, which is the next round's b ^ c, and b ^ c: the majority.
    movq \a, \new
    xorq %r13, %r12
    rorxq $28, \a, %r13
    xorq \b, \new
    xorq %r13, %r12
    andq \new, \old
    addq %r12, \h
    xorq \b, \old
    addq \old, \h
.endm

# Four words of W, 16 after those in w0. The last two need the first two.
.macro SHA512_SCHEDULE w0 w1 w2 w3
    valignq $1, \w0, \w1, %ymm5
    valignq $1, \w2, \w3, %ymm6
    vprorq $1, %ymm5, %ymm7
    vpaddq %ymm6, \w0, \w0
    vprorq $8, %ymm5, %ymm6
    vpsrlq $7, %ymm5, %ymm5
    vpternlogq $0x96, %ymm7, %ymm6, %ymm5
    vextracti128 $1, \w3, %xmm8
    vprorq $19, %xmm8, %xmm6
    vprorq $61, %xmm8, %xmm7
    vpaddq %ymm5, \w0, \w0
    vpsrlq $6, %xmm8, %xmm8
    vpternlogq $0x96, %xmm7, %xmm6, %xmm8
    vpaddq %ymm8, \w0, \w0
    vperm2i128 $8, \w0, \w0, %ymm5
    vprorq $19, %ymm5, %ymm6
    vprorq $61, %ymm5, %ymm7
    vpsrlq $6, %ymm5, %ymm5
    vpternlogq $0x96, %ymm7, %ymm6, %ymm5
    vpaddq %ymm5, \w0, \w0
    vpaddq 640 + (ROUND + 13) * 8(%rbp), \w0, %ymm5
    vmovdqu %ymm5, (ROUND + 13) * 8(%rbp)
.endm

# The next round of the half, and of every fourth the schedule.
.macro SHA512_ROUND
    .if (ROUND & 7) == 0
        SHA512_ROUND_IN %rax, %rbx, %rcx, %rdx, %r8, %r9, %r10, %r11, %r14, %r15
    .elseif (ROUND & 7) == 1
        SHA512_ROUND_IN %r11, %rax, %rbx, %rcx, %rdx, %r8, %r9, %r10, %r15, %r14
    .elseif (ROUND & 7) == 2
        SHA512_ROUND_IN %r10, %r11, %rax, %rbx, %rcx, %rdx, %r8, %r9, %r14, %r15
    .elseif (ROUND & 7) == 3
        SHA512_ROUND_IN %r9, %r10, %r11, %rax, %rbx, %rcx, %rdx, %r8, %r15, %r14
    .elseif (ROUND & 7) == 4
        SHA512_ROUND_IN %r8, %r9, %r10, %r11, %rax, %rbx, %rcx, %rdx, %r14, %r15
    .elseif (ROUND & 7) == 5
        SHA512_ROUND_IN %rdx, %r8, %r9, %r10, %r11, %rax, %rbx, %rcx, %r15, %r14
    .elseif (ROUND & 7) == 6
        SHA512_ROUND_IN %rcx, %rdx, %r8, %r9, %r10, %r11, %rax, %rbx, %r14, %r15
    .else
        SHA512_ROUND_IN %rbx, %rcx, %rdx, %r8, %r9, %r10, %r11, %rax, %r15, %r14
    .endif
    .if (ROUND & 3) == 3
        .if ROUND >= 24
            # The last words of W are there.
            cmpb $0, 288(%rsp)
            jne 3f
        .endif
        .if (ROUND & 15) == 3
            SHA512_SCHEDULE %ymm9, %ymm10, %ymm11, %ymm12
        .elseif (ROUND & 15) == 7
            SHA512_SCHEDULE %ymm10, %ymm11, %ymm12, %ymm9
        .elseif (ROUND & 15) == 11
            SHA512_SCHEDULE %ymm11, %ymm12, %ymm9, %ymm10
        .else
            SHA512_SCHEDULE %ymm12, %ymm9, %ymm10, %ymm11
        .endif
        .if ROUND >= 24
            3:
        .endif
    .endif
    .set ROUND, ROUND + 1
.endm

# Four words of the block.
.macro SHA512_BYTES at to
    vmovdqu \at * 32(%rsi), \to
    vpshufb 896(%rdi), \to, \to
    vpaddq 640 + \at * 32(%rbp), \to, %ymm5
    vmovdqu %ymm5, \at * 32(%rbp)
.endm

.macro SHA512_ADD at word
    addq \at * 8(%r12), \word
    movq \word, \at * 8(%r12)
.endm

    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rax
    subq $1600, %rsp
    andq $-64, %rsp
    movq %rsi, 256(%rsp)
    movq %rdi, 264(%rsp)
    movq %rcx, 272(%rsp)
    movq %rax, 280(%rsp)
    movb $0, 288(%rsp)
    leaq 320(%rsp), %rbp
    MD5_LOAD %rdi
    movq %rsi, %r12
    movq %rdx, %rsi
    movq %r8, %rdi
    .set AT, 0
    .rept 20
        vmovdqu 256 + AT(%rdi), %ymm5
        vmovdqu %ymm5, 640 + AT(%rbp)
        .set AT, AT + 32
    .endr
    movq (%r12), %rax
    movq 8(%r12), %rbx
    movq 16(%r12), %rcx
    movq 24(%r12), %rdx
    movq 32(%r12), %r8
    movq 40(%r12), %r9
    movq 48(%r12), %r10
    movq 56(%r12), %r11
2:
    SHA512_BYTES 0, %ymm9
    SHA512_BYTES 1, %ymm10
    SHA512_BYTES 2, %ymm11
    SHA512_BYTES 3, %ymm12
    movq %rbx, %r15
    xorq %rcx, %r15
.p2align 6
4:
    .set STEP, 0
    .set PLACE, 0
    .set ROUND, 0
    .rept 40
        SHA512_ROUND
    .endr
    addq $64, %rsi
    cmpb $0, 288(%rsp)
    jne 5f
    movb $1, 288(%rsp)
    # 40 rounds are two and a half times through the registers of W.
    addq $320, %rbp
    vmovdqa %ymm9, %ymm5
    vmovdqa %ymm11, %ymm9
    vmovdqa %ymm5, %ymm11
    vmovdqa %ymm10, %ymm5
    vmovdqa %ymm12, %ymm10
    vmovdqa %ymm5, %ymm12
    jmp 4b
5:
    movb $0, 288(%rsp)
    subq $320, %rbp
    movq 256(%rsp), %r12
    SHA512_ADD 0, %rax
    SHA512_ADD 1, %rbx
    SHA512_ADD 2, %rcx
    SHA512_ADD 3, %rdx
    SHA512_ADD 4, %r8
    SHA512_ADD 5, %r9
    SHA512_ADD 6, %r10
    SHA512_ADD 7, %r11
    decq 272(%rsp)
    jnz 2b
    movq 264(%rsp), %rdi
    MD5_STORE %rdi
    vzeroupper
    movq 280(%rsp), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    retq
.purgem MD5_SUMS
.purgem MD5_STEP_IN
.purgem MD5_STEP
.purgem MD5_LOAD
.purgem MD5_STORE
.purgem SHA512_ROUND_IN
.purgem SHA512_SCHEDULE
.purgem SHA512_ROUND
.purgem SHA512_BYTES
.purgem SHA512_ADD
