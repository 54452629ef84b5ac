# MD5 of up to four states over the same blocks of 64 bytes. At least one block.
#
# %rdi: the states, each word's lanes together; %rsi: the blocks; %rdx: how many; %rcx: the table.

    movq %rsp, %rax
    subq $256, %rsp
    andq $-64, %rsp
    movq %rdi, %r8
    movq %rcx, %rdi
    MD5_LOAD %r8
.p2align 6
2:
    .set STEP, 0
    .set PLACE, 0
    .rept 64
        MD5_STEP
    .endr
    addq $64, %rsi
    decq %rdx
    jnz 2b
    MD5_STORE %r8
    vzeroupper
    movq %rax, %rsp
    retq
.purgem MD5_SUMS
.purgem MD5_STEP_IN
.purgem MD5_STEP
.purgem MD5_LOAD
.purgem MD5_STORE
